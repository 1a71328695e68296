// Reads lines of JSON, {"pattern", "strings"}; writes for each which strings match the pattern with the flag "u", or null.
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { pattern, strings } = JSON.parse(line);
  let matched = null;
  try {
    const regex = new RegExp(pattern, "u");
    matched = strings.map((each) => regex.test(each));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  process.stdout.write(JSON.stringify(matched) + "\n");
});
