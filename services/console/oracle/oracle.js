// Looks at every page in both colour schemes and two widths: no finding of the
// accessibility checker, no sideways scrolling, no request to anywhere else, and
// every link and button in reach of the Tab key.
const fs = require("node:fs");
const puppeteer = require("puppeteer-core");

const base = process.env.CONSOLE_URL;
const pages = process.env.CONSOLE_PAGES.split(" ");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
let passed = 0;
let failed = 0;

function check(ok, what) {
  if (ok) passed++;
  else { failed++; console.log("failed: " + what); }
}

async function look(browser, path, scheme, width) {
  const page = await browser.newPage();
  const where = `${path} ${scheme} ${width}`;
  const elsewhere = [];
  page.on("request", (r) => { if (!r.url().startsWith(base) && !r.url().startsWith("data:")) elsewhere.push(r.url()); });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.setViewport({ width, height: 900 });
  await page.goto(base + path);
  await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const result = await page.evaluate(() => globalThis.axe.run());
  check(result.violations.length === 0, `${where}: ${result.violations.map((v) => `${v.id} ${v.nodes[0].html.slice(0, 120)}`).join("; ")}`);
  check(elsewhere.length === 0, `${where}: asked ${elsewhere}`);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${where}: the page scrolls sideways`);
  await page.close();
}

async function keyboard(browser, path) {
  const page = await browser.newPage();
  await page.goto(base + path);
  const wanted = await page.evaluate(() => [...document.querySelectorAll("a[href], button, input, select")].length);
  const seen = new Set();
  for (let i = 0; i < wanted * 2 + 20; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      return e.matches("a[href], button, input, select") ? [...document.querySelectorAll("a[href], button, input, select")].indexOf(e) : -1;
    });
    if (at >= 0) seen.add(at);
  }
  check(seen.size === wanted, `${path}: Tab reaches ${seen.size} of ${wanted}`);
  await page.goto(base + path);
  await page.keyboard.press("/");
  check(await page.evaluate(() => document.activeElement.id) === "search", `${path}: '/' leads to the search box`);
  await page.close();
}

(async () => {
  const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args: flags });
  for (const path of pages) {
    for (const scheme of ["light", "dark"]) for (const width of [360, 1400]) await look(browser, path, scheme, width);
    await keyboard(browser, path);
  }
  await browser.close();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
})();
