// ioredis with Sentinels: adds numbers to a set at the master and notes what was acknowledged.
//
// usage: node writer.js KEY LEDGER HOST:PORT…   (Sentinels of `mymaster`); runs until it is killed.
const fs = require("fs");
const Redis = require("ioredis");

const [key, file, ...places] = process.argv.slice(2);
const ledger = fs.openSync(file, "a");
const sentinels = places.map((place) => {
  const at = place.lastIndexOf(":");
  return { host: place.slice(0, at), port: Number(place.slice(at + 1)) };
});
const redis = new Redis({
  sentinels,
  name: "mymaster",
  connectTimeout: 500,
  commandTimeout: 500,
  sentinelCommandTimeout: 300,
  maxRetriesPerRequest: 1,
  autoResendUnfulfilledCommands: false,
  retryStrategy: () => 50,
  sentinelRetryStrategy: () => 50,
});
redis.on("error", () => {});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// A master that was stopped never answers, and a timeout of a command does not end its connection.
let silent = 0;

async function write() {
  for (let number = 1; ; number++) {
    try {
      if ((await redis.sadd(key, number)) === 1) {
        fs.writeSync(ledger, `${number} ${(Date.now() / 1000).toFixed(3)}\n`);
      }
      silent = 0;
      await pause(3);
    } catch (error) {
      if (String(error.message).includes("timed out") && ++silent === 1) {
        redis.disconnect(true);
      }
      await pause(20);
    }
  }
}

write();
