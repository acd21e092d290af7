import { equal, test } from "./check.js";
import { mixGains, newMix, shownStrips, trackGains } from "../app/mix.js";

/** The gains of the stems; no stem of the mix needs the original. @param {import("../app/mix.js").Mix} mix */
function stemGains(mix) {
  const [original, ...stems] = mixGains(mix);
  equal(original, 0, "gain of the original");
  return stems;
}

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

test("the two-stem view has a stem and the original without it", () => {
  const mix = newMix(4);
  mix.pair = 2;
  equal(shownStrips(mix).map(({ gains, rest }) => [rest, gains]), [[false, [0, 0, 0, 1, 0]], [true, [1, 0, 0, -1, 0]]]);
  equal(mixGains(mix), [1, 0, 0, 0, 0], "both together are the original");
  mix.rest.volume = 0.5;
  equal(mixGains(mix), [0.5, 0, 0, 0.5, 0], "half of the rest and all of the stem");
  mix.strips[2].muted = true;
  equal(mixGains(mix), [0.5, 0, 0, -0.5, 0]);
  mix.rest.soloed = true;
  equal(mixGains(mix), [0.5, 0, 0, -0.5, 0]);
});

test("a model with a single stem has a two-stem view too", () => {
  const mix = newMix(1);
  mix.pair = 0;
  mix.strips[0].muted = true;
  equal(mixGains(mix), [1, -1]);
});

test("the two-stem view ignores the settings of hidden strips", () => {
  const mix = newMix(3);
  mix.strips[0].muted = true;
  mix.strips[1].soloed = true;
  mix.pair = 2;
  equal(mixGains(mix), [1, 0, 0, 0]);
});
