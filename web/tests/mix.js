import { equal, test } from "./check.js";
import { newMix, shownStrips, stemGains, trackGains } from "../app/mix.js";

test("all stems sound at first, and the original does not", () => {
  equal(trackGains(newMix(3)), [0, 1, 1, 1]);
});

test("solo silences the others, mute wins over solo", () => {
  const mix = newMix(3);
  mix.strips[1].soloed = true;
  equal(stemGains(mix), [0, 1, 0]);
  mix.strips[2].soloed = true;
  equal(stemGains(mix), [0, 1, 1]);
  mix.strips[1].muted = true;
  equal(stemGains(mix), [0, 0, 1]);
});

test("volume counts only where it sounds", () => {
  const mix = newMix(2);
  mix.strips[0].volume = 0.5;
  mix.strips[1].volume = 0.25;
  mix.strips[1].muted = true;
  equal(stemGains(mix), [0.5, 0]);
});

test("the original replaces everything, solo or not", () => {
  const mix = newMix(2);
  mix.strips[0].soloed = true;
  mix.original = true;
  equal(trackGains(mix), [1, 0, 0]);
});

test("the two-stem view has one stem and all the others under one strip", () => {
  const mix = newMix(4);
  mix.pair = 2;
  equal(shownStrips(mix).map(({ stems }) => stems), [[2], [0, 1, 3]]);
  mix.rest.volume = 0.5;
  equal(stemGains(mix), [0.5, 0.5, 1, 0.5]);
  mix.strips[2].muted = true;
  equal(stemGains(mix), [0.5, 0.5, 0, 0.5]);
  mix.rest.soloed = true;
  equal(stemGains(mix), [0.5, 0.5, 0, 0.5]);
});

test("settings of stems that are not shown do not sound in the two-stem view", () => {
  const mix = newMix(3);
  mix.strips[0].muted = true;
  mix.strips[1].soloed = true;
  mix.pair = 2;
  equal(stemGains(mix), [1, 1, 1]);
});
