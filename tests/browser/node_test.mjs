// What tests/web uses of node:test and node:assert/strict, for a browser.
const tests = []

export const test = (name, run) => tests.push({ name, run })

/** Run the tests of a file, without one; return the names of those that pass, and what is wrong with the others. */
export async function runTests(file, left) {
  await import(file)
  const passed = []
  const failed = []
  for (const { name, run } of tests.splice(0)) {
    if (name === left) continue
    try {
      await run()
      passed.push(name)
    } catch (error) {
      failed.push(`${name}: ${error?.stack ?? error}`)
    }
  }
  return { passed, failed }
}

function ok(value, message = `${value} is not true`) {
  if (!value) throw new Error(message)
}

function equal(found, expected) {
  ok(Object.is(found, expected), `${found} is not ${expected}`)
}

const deepEqual = (found, expected) => equal(JSON.stringify(found), JSON.stringify(expected))

/** Check an error: against its class, a pattern of its message, properties, the error itself, or by a function. */
function matches(error, expected) {
  if (expected instanceof RegExp) ok(expected.test(error), `${error} does not match ${expected}`)
  else if (expected instanceof Error) equal(error, expected)
  else if (expected === Error || expected?.prototype instanceof Error) ok(error instanceof expected, `${error} is no ${expected.name}`)
  else if (typeof expected === "function") ok(expected(error), `${error} is another error`)
  else for (const [key, value] of Object.entries(expected ?? {})) equal(error[key], value)
}

async function rejects(promise, expected) {
  const outcome = await promise.then((value) => ({ value }), (error) => ({ error }))
  ok("error" in outcome, `it resolved to ${outcome.value}`)
  matches(outcome.error, expected)
}

function throws(run, expected) {
  try {
    run()
  } catch (error) {
    return matches(error, expected)
  }
  throw new Error("it did not throw")
}

export default { ok, equal, deepEqual, rejects, throws }
