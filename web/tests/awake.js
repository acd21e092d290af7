import { equal, test } from "./check.js";
import { Awake } from "../app/awake.js";

/** A test with fake locks of the browser. `screens`: the wake locks; `open`: how many Web Locks are held. */
function awakeTest(/** @type {string} */ name, /** @type {(awake: Awake, fake: {screens: any[], open: number, hidden: boolean, refuse: boolean}) => Promise<void>} */ run) {
  test(name, async () => {
    const fake = { screens: /** @type {any[]} */ ([]), open: 0, hidden: false, refuse: false };
    const wakeLock = {
      request: async () => {
        if (fake.refuse) throw new DOMException("the battery is low", "NotAllowedError");
        const screen = { released: false, release: async () => { screen.released = true; } };
        fake.screens.push(screen);
        return screen;
      },
    };
    const locks = {
      request: async (/** @type {string} */ _, /** @type {LockOptions} */ { mode }, /** @type {() => Promise<void>} */ held) => {
        equal(mode, "shared");
        fake.open += 1;
        await held();
        fake.open -= 1;
      },
    };
    Object.defineProperty(navigator, "wakeLock", { configurable: true, get: () => wakeLock });
    Object.defineProperty(navigator, "locks", { configurable: true, get: () => locks });
    Object.defineProperty(document, "hidden", { configurable: true, get: () => fake.hidden });
    try {
      await run(new Awake(), fake);
    } finally {
      for (const [owner, key] of /** @type {[object, string][]} */ ([[navigator, "wakeLock"], [navigator, "locks"], [document, "hidden"]])) delete /** @type {any} */ (owner)[key];
    }
  });
}

const pause = () => new Promise((resolve) => setTimeout(resolve));
const lit = (/** @type {{screens: any[]}} */ { screens }) => screens.filter(({ released }) => !released).length;
const show = (/** @type {{hidden: boolean}} */ fake, /** @type {boolean} */ visible) => {
  fake.hidden = !visible;
  document.dispatchEvent(new Event("visibilitychange"));
};

awakeTest("work holds one screen lock and one Web Lock until it ends", async (awake, fake) => {
  for (let round = 1; round <= 2; round++) {
    awake.set(true);
    awake.set(true);
    await pause();
    equal([fake.screens.length, lit(fake), fake.open], [round, 1, 1], "working");
    awake.set(false);
    awake.set(false);
    await pause();
    equal([lit(fake), fake.open], [0, 0], "at the end");
  }
});

awakeTest("the screen lock returns with the tab, but not after the work", async (awake, fake) => {
  awake.set(true);
  await pause();
  fake.screens[0].released = true; // as the browser does
  show(fake, false);
  await pause();
  equal(fake.screens.length, 1, "hidden");
  show(fake, true);
  show(fake, true);
  await pause();
  equal(lit(fake), 1, "visible");
  show(fake, false);
  awake.set(false);
  await pause();
  show(fake, true);
  await pause();
  equal(lit(fake), 0, "after the work");
});

awakeTest("work that ends while the lock is requested leaves no lock", async (awake, fake) => {
  awake.set(true);
  awake.set(false);
  await pause();
  equal([lit(fake), fake.open], [0, 0]);
});

awakeTest("work goes on without the locks", async (awake, fake) => {
  fake.refuse = true;
  awake.set(true);
  await pause();
  equal([fake.screens.length, fake.open], [0, 1], "refused");
  awake.set(false);
  for (const key of ["wakeLock", "locks"]) Object.defineProperty(navigator, key, { configurable: true, get: () => undefined });
  awake.set(true);
  await pause();
  awake.set(false);
});
