import { equal, test } from "./check.js";
import { newMix, shownStrips, stemGains, trackGains } from "../app/mix.js";

test("a new mix plays all stems and not the original", () => {
  equal(trackGains(newMix(3)), [0, 1, 1, 1]);
});

test("solo silences the other stems, and mute takes precedence over solo", () => {
  const mix = newMix(3);
  mix.strips[1].soloed = true;
  equal(stemGains(mix), [0, 1, 0]);
  mix.strips[2].soloed = true;
  equal(stemGains(mix), [0, 1, 1]);
  mix.strips[1].muted = true;
  equal(stemGains(mix), [0, 0, 1]);
});

test("the gain of an audible stem is its volume, and that of a muted stem is 0", () => {
  const mix = newMix(2);
  mix.strips[0].volume = 0.5;
  mix.strips[1].volume = 0.25;
  mix.strips[1].muted = true;
  equal(stemGains(mix), [0.5, 0]);
});

test("the original replaces all stems, also with a solo", () => {
  const mix = newMix(2);
  mix.strips[0].soloed = true;
  mix.original = true;
  equal(trackGains(mix), [1, 0, 0]);
});

test("the two-stem view has one strip for a stem and one strip for all other stems", () => {
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

test("the two-stem view ignores the settings of hidden strips", () => {
  const mix = newMix(3);
  mix.strips[0].muted = true;
  mix.strips[1].soloed = true;
  mix.pair = 2;
  equal(stemGains(mix), [1, 1, 1]);
});
