// Redis in greenlets: commands of many greenlets on one connection, a pipeline, a transaction, pub/sub, a blocking pop with a timeout.

import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import { sleep, spawn, wait } from '../../dist/index.js'

const url = process.env.REDIS_URL
const prefix = `${process.pid}:`
const redis = new Redis(url, { keyPrefix: prefix })

async function manyTest() {
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      spawn(() => {
        wait(redis.set(`key ${i}`, i))
        if (i % 3 === 0) sleep(1)
        return Number(wait(redis.get(`key ${i}`)))
      }),
    ),
  )
  assert.deepEqual(
    answers,
    answers.map((_, i) => i),
  )
}

async function pipelineTest() {
  const results = await spawn(() => {
    const pipeline = redis.pipeline()
    ;[1, 2, 3].forEach((n) => pipeline.incrby('total', n))
    return wait(pipeline.exec())
  })
  assert.deepEqual(results, [
    [null, 1],
    [null, 3],
    [null, 6],
  ])
  const [, [error]] = await spawn(() => wait(redis.pipeline().set('text', 'x').incr('text').exec()))
  assert.match(error.message, /not an integer/)
}

/** Reads and writes with WATCH, again where another greenlet was first. */
function add(connection, key, amount) {
  for (;;) {
    wait(connection.watch(key))
    const before = Number(wait(connection.get(key)) ?? 0)
    const done = wait(
      connection
        .multi()
        .set(key, before + amount)
        .exec(),
    )
    if (done !== null) return
  }
}

async function transactionTest() {
  await Promise.all(
    [1, 2, 3, 4].map((amount) =>
      spawn(() => {
        const own = redis.duplicate()
        try {
          for (let i = 0; i < 5; i++) add(own, 'account', amount)
        } finally {
          own.disconnect()
        }
      }),
    ),
  )
  assert.equal(await redis.get('account'), '50')
}

async function pubSubTest() {
  const [publisher, subscriber] = [new Redis(url), new Redis(url)]
  const queue = []
  let arrived
  subscriber.on('message', (_, text) => {
    queue.push(text)
    arrived?.()
  })
  const reader = spawn(() => {
    wait(subscriber.subscribe(`${prefix}news`))
    spawn(() => ['one', 'two', 'three'].forEach((text) => wait(publisher.publish(`${prefix}news`, text))))
    const texts = []
    while (texts.length < 3) {
      if (queue.length === 0) wait(new Promise((resolve) => (arrived = resolve)))
      texts.push(queue.shift())
    }
    return texts
  })
  assert.deepEqual(await reader, ['one', 'two', 'three'])
  publisher.disconnect()
  subscriber.disconnect()
}

async function blockingTest() {
  // A blocking command needs a connection of its own.
  const pop = (seconds) => {
    const own = redis.duplicate()
    try {
      return wait(own.blpop('jobs', seconds))
    } finally {
      own.disconnect()
    }
  }
  assert.equal(await spawn(pop, 0.1), null)
  const waiting = spawn(pop, 50)
  await spawn(() => {
    sleep(20)
    wait(redis.rpush('jobs', 'first'))
  })
  assert.deepEqual(await waiting, [`${prefix}jobs`, 'first'])

  // One that is killed takes no job with it.
  const killed = spawn(pop, 50)
  for (let tries = 0; !/cmd=blpop/.test(await redis.client('LIST')); tries++) {
    assert.notEqual(tries, 300)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  killed.kill()
  await assert.rejects(Promise.resolve(killed), { code: 'ERR_GREENLET_KILLED' })
  for (let tries = 0; /cmd=blpop/.test(await redis.client('LIST')); tries++) {
    assert.notEqual(tries, 300)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await redis.rpush('jobs', 'second')
  assert.deepEqual(await spawn(pop, 50), [`${prefix}jobs`, 'second'])
}

try {
  for (const test of [manyTest, pipelineTest, transactionTest, pubSubTest, blockingTest]) await test()
} finally {
  redis.disconnect()
}
console.log('ok')
