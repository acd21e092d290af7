import { equal, test } from "./check.js";
import { colours } from "../app/view/colours.js";

test("the usual stems keep their colours in any order, and other stems get the free colours", () => {
  equal(colours(["vocals", "drums", "bass", "other"]), [0, 1, 2, 3]);
  equal(colours(["drums", "bass", "other", "vocals"]), [1, 2, 3, 0]);
  equal(colours(["piano", "vocals", "guitar"]), [1, 0, 2]);
});
