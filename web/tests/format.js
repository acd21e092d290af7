import { equal, test } from "./check.js";
import { bytes, clock, decibels, parseClock, sentence, spoken } from "../app/format.js";

test("a clock has minutes and hours, and rounds down", () => {
  equal(clock(0), "0:00");
  equal(clock(59.99), "0:59");
  equal(clock(187), "3:07");
  equal(clock(3723), "1:02:03");
  equal(clock(3.25, 1), "0:03.2");
  equal(clock(59.96, 1), "0:59.9");
  equal(clock(-1), "0:00");
});

test("a formatted clock is parsed to the same time", () => {
  for (const seconds of [0, 0.1, 9.9, 59.5, 60, 187.3, 3723.4]) equal(parseClock(clock(seconds, 1)), seconds, `${seconds}`);
  equal(parseClock("42"), 42);
  equal(parseClock(" 1:02,5 "), 62.5);
});

test("a text that is not a time is refused", () => {
  for (const text of ["", "abc", "1:60", "1:2:3:4", "1.5:00", "-3", "1:", "1e3", "NaN"]) equal(parseClock(text), null, text);
});

test("durations in words", () => {
  equal(spoken(1), "1 second");
  equal(spoken(65), "1 minute 5 seconds");
  equal(spoken(3600), "1 hour");
  equal(spoken(7325), "2 hours 2 minutes");
  equal(spoken(0.2), "0 seconds");
});

test("sizes have two significant figures", () => {
  equal(bytes(0), "0 bytes");
  equal(bytes(999), "999 bytes");
  equal(bytes(1640000), "1.6 MB");
  equal(bytes(999_600), "1.0 MB");
  equal(bytes(63_500_000), "64 MB");
  equal(bytes(5.1e9), "5.1 GB");
});

test("gains as decibels", () => {
  equal(decibels(1), "0.0 dB");
  equal(decibels(0.5), "−6.0 dB");
  equal(decibels(1.5), "+3.5 dB");
  equal(decibels(0), "−∞ dB");
});

test("sentences", () => {
  equal(sentence("not an audio file"), "Not an audio file.");
  equal(sentence("Is it whole?"), "Is it whole?");
});
