import { equal, test } from "./check.js";
import { Song } from "../app/song.js";
import { tabTitle } from "../app/title.js";

test("the tab's title shows the running song, then the outcome until it is seen", () => {
  const [first, second] = ["One.wav", "Two.wav"].map((name) => new Song(new File(["song"], name)));
  const songs = [first, second];
  equal(tabTitle(songs, null), "Unbraid");
  first.state = "running";
  equal(tabTitle(songs, null), "One · Unbraid");
  first.tape = /** @type {any} */ ({ sampleRate: 100 });
  first.progress = { done: 4299, total: 10_000, speed: 0.5 };
  equal(tabTitle(songs, null), "42 % · 1:54 left · One · Unbraid");
  second.state = "queued";
  equal(tabTitle(songs, second), "42 % · 1:54 left · 1 more · One · Unbraid");
  first.state = second.state = "done";
  equal(tabTitle(songs, second), "Done · Two · Unbraid");
  first.state = "failed";
  equal(tabTitle(songs, first), "Stopped · One · Unbraid");
  equal(tabTitle(songs, null), "Unbraid");
});
