// ioredis with sentinels: writes for twelve seconds while its master dies. Arguments: ports of Sentinels.
const Redis = require("ioredis");

const sentinels = process.argv.slice(2).map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const redis = new Redis({ sentinels, name: "mymaster", maxRetriesPerRequest: 1, sentinelRetryStrategy: () => 100 });
redis.on("error", () => {});

const begin = Date.now();
let count = 0;
let last = begin;
let gap = 0;

async function write() {
  while (Date.now() - begin < 12000) {
    try {
      await redis.incr("ioredis");
      count += 1;
      gap = Math.max(gap, Date.now() - last);
      last = Date.now();
    } catch (error) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const good = count > 100 && Date.now() - last < 1000 && gap < 6000;
  console.log(`${count} writes, none for ${gap} ms`);
  process.exit(good ? 0 : 1);
}

write();
