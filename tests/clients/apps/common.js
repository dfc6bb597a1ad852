// What the programs beside this file share: `node PROGRAM PORT [HOST]`, one PASS or FAIL line a check, exit code 1
// when one fails, and an end after 20 seconds whatever happens.
const assert = require('node:assert');

const port = Number(process.argv[2]);
const host = process.argv[3] ?? '127.0.0.1';
let failures = 0;

function check(name, seen, wanted) {
  try {
    assert.deepStrictEqual(seen, wanted);
    console.log(`PASS ${name}`);
  } catch {
    failures += 1;
    console.log(`FAIL ${name}: got ${JSON.stringify(seen)}, expected ${JSON.stringify(wanted)}`);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Waits until the condition holds, for 5 seconds at most; the check that follows says whether it does.
async function until(condition) {
  const end = Date.now() + 5000;
  while (Date.now() < end && !(await condition())) await sleep(10);
}

function run(main) {
  setTimeout(() => {
    console.log('FAIL not at the end after 20 seconds');
    process.exit(1);
  }, 20000);
  main().then(
    () => process.exit(failures ? 1 : 0),
    (error) => {
      console.log(`FAIL ${error.stack}`);
      process.exit(1);
    },
  );
}

module.exports = { check, host, port, run, sleep, until };
