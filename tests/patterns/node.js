// Reads lines of JSON, {"pattern", "strings"}; writes for each which strings match the pattern with the flag "u", or null.
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { pattern, strings } = JSON.parse(line);
  let matched = null;
  try {
    new RegExp(pattern, "u");
    // By itself, V8 also begins to match in the middle of a surrogate pair, which ECMA 262 does not.
    const regex = new RegExp(`^[^]*?(?:${pattern})`, "u");
    matched = strings.map((each) => regex.test(each));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  process.stdout.write(JSON.stringify(matched) + "\n");
});
