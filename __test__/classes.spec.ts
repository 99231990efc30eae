// Classes of stacks: a full collection leaves out suspended stacks that are like another one.

import test, { type ExecutionContext } from 'ava'
import { fastOnly } from './helpers/lane.ts'
import { printed, runProgram } from './helpers/program.ts'

const ON = { GREENLETS_SCAN: 'classes' }
const VERIFY = { ...ON, GREENLETS_VERIFY_GC: '1' }
/** All stacks but eight are spilled. */
const SPILLED = { GREENLETS_SLOTS: '8' }
const NOT_THERE = 'classes belong to the fast lane'
const major = Number.parseInt(process.versions.node)

/** Greenlets that suspend in a few places, each with objects that only its stack holds. */
const PARK = `
  const made = []
  const descend = (depth, own) => (depth === 0 ? main.switch(own) : descend(depth - 1, own))
  function plain(i) {
    const own = { i, list: [i, { i }] }
    descend(i % 3, own)
    return own.i === i && own.list[1].i === i
  }
  function sorted(i) {
    const own = { text: 'text ' + i }
    ;[2, 1].sort(() => (main.switch(own), 0))
    return own.text === 'text ' + i
  }
  /** Resumes it again and again, with other objects each time. */
  function again(i) {
    for (let round = 0; ; round++) {
      const own = [{ i, round }]
      if (main.switch(own) === 'end') return own[0].i === i && own[0].round === round
    }
  }
  const park = (count) => {
    for (let i = 0; i < count; i++) {
      const g = new Greenlet([plain, sorted, again][i % 3])
      g.switch(i)
      made.push(g)
    }
  }
  const litter = () => Array.from({ length: 1000 }, (_, i) => ({ i, text: [i] }))
  const collect = () => { litter(); gc(); litter(); gc({ type: 'minor' }) }
  const end = () => made.every((g) => g.switch('end') === true && g.dead)
`

const run = async (
  t: ExecutionContext,
  source: string,
  env: Readonly<Record<string, string>>,
  output: string,
  flags: readonly string[] = [],
) => {
  // The programs choose the lane and the spilling themselves, whatever this run of the tests has chosen.
  const whole = { GREENLETS_LANE: 'fast', GREENLETS_SPILL: 'auto', ...env }
  t.deepEqual(await runProgram(PARK + source, { flags: ['--expose-gc', ...flags], env: whole }), printed(output))
}

for (const [env, name] of [
  [ON, 'left out'],
  [VERIFY, 'compared'],
  [{ ...ON, ...SPILLED }, 'spilled and left out'],
  [{ ...VERIFY, ...SPILLED }, 'spilled and compared'],
] as const) {
  fastOnly(test, NOT_THERE)(`stacks of a few shapes are ${name} after two full collections`, async (t) => {
    // Mostly after one. It learns nothing where a scavenge has just used the object that it would learn from.
    const source = `
      park(900)
      gc(); gc()
      const { settled } = runtimeInfo()
      for (let i = 0; i < 5; i++) {
        collect()
        for (const g of made.slice(0, 300)) if (made.indexOf(g) % 3 === 2) g.switch()
      }
      // Code that was compiled meanwhile has new shapes, which one collection meets and the next one learns.
      gc(); gc(); gc()
      console.log(settled > 850, runtimeInfo().settled > 850, runtimeInfo().scan, runtimeInfo().scanReason, end())`
    await run(t, source, env, 'true true classes undefined true\n')
  })

  fastOnly(test, NOT_THERE)(`objects and code move while stacks are ${name}`, async (t) => {
    const source = `
      park(300)
      for (let i = 0; i < 10; i++) {
        collect()
        for (const g of made) if (made.indexOf(g) % 3 === 2) g.switch()
      }
      gc(); gc(); gc()
      console.log(runtimeInfo().settled > 250, end())`
    await run(t, source, env, 'true true\n', ['--compact-on-every-full-gc'])
  })
}

fastOnly(test, NOT_THERE)('stacks are left out unless the variable says otherwise', async (t) => {
  const source = `
    park(300); gc(); gc(); gc()
    const { scan, scanReason, settled } = runtimeInfo()
    console.log(scan, scanReason, settled > 250, end())`
  await run(t, source, {}, 'classes undefined true true\n')
  await run(t, source, { GREENLETS_SCAN: 'young' }, 'young undefined false true\n')
  await run(t, source, { GREENLETS_SCAN: 'all' }, 'all undefined false true\n')
})

fastOnly(test, NOT_THERE)('what two of many stacks had in common is freed after they have ended', async (t) => {
  // The first two stacks of a class decide which words all of them have in common.
  const source = `
    const hold = (object) => { main.switch(); return object !== undefined }
    let shared = { text: 'shared' }
    const weak = new WeakRef(shared)
    for (let i = 0; i < 200; i++) {
      const g = new Greenlet(hold)
      g.switch(i < 2 ? shared : { i })
      made.push(g)
    }
    shared = undefined
    gc()
    await new Promise(setImmediate)
    const before = weak.deref() !== undefined
    made.shift().switch()
    made.shift().switch()
    for (let i = 0; i < 3; i++) { await new Promise(setImmediate); gc() }
    console.log(before, weak.deref(), runtimeInfo().settled > 150, end())`
  await run(t, source, ON, 'true undefined true true\n')
})

fastOnly(test, NOT_THERE)('collections while no stack is left do no harm to the next ones', async (t) => {
  const source = `
    let right = true
    for (let i = 0; i < 30; i++) {
      park(80)
      right &&= end()
      made.length = 0
      collect()
      collect()
      park(5)
      collect()
      right &&= end()
      made.length = 0
    }
    console.log(right)`
  await run(t, source, ON, 'true\n', ['--compact-on-every-full-gc'])
})

fastOnly(test, NOT_THERE)('a debugger with a breakpoint in suspended functions changes their frames', async (t) => {
  const source = `
    const { Session } = await import('node:inspector')
    park(300)
    gc(); gc()
    const before = runtimeInfo().settled
    const session = new Session()
    session.connect()
    const post = (method, parameters) => new Promise((done, fail) => session.post(method, parameters, (error, result) => (error ? fail(error) : done(result))))
    globalThis.again = again
    globalThis.plain = plain
    await post('Debugger.enable')
    for (const name of ['again', 'plain']) {
      const { result } = await post('Runtime.evaluate', { expression: name })
      await post('Debugger.setBreakpointOnFunctionCall', { objectId: result.objectId })
    }
    collect()
    const during = runtimeInfo().settled
    for (const g of made) if (made.indexOf(g) % 3 === 2) g.switch()
    collect()
    await post('Debugger.disable')
    session.disconnect()
    gc(); gc()
    console.log(before > 250, during, runtimeInfo().settled > 250, end())`
  await run(t, source, ON, 'true 0 true true\n')
})

// A step gives each function on its way code with breakpoints, also where the function is on suspended stacks. V8 counts no breakpoint, and
// gives the functions their own code back when the debugger is detached (DebugInfo::ClearBreakInfo, debug-objects.cc, 11.3 to 14.6).
for (const env of [ON, VERIFY, { ...VERIFY, ...SPILLED }]) {
  for (const flags of [[], ['--always-sparkplug'], ['--compact-on-every-full-gc']]) {
    fastOnly(test, NOT_THERE)(
      `a debugger steps through suspended functions and is gone at the next collection ${JSON.stringify([env, flags])}`,
      async (t) => {
        const source = `
          const { Worker } = await import('node:worker_threads')
          park(300)
          for (let i = 0; i < 300; i++) plain(i)
          gc(); gc(); gc()
          const before = runtimeInfo().settled
          const state = new Int32Array(new SharedArrayBuffer(12))
          const other = new Worker(\`
            const { Session } = process.getBuiltinModule('node:inspector')
            const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
            const session = new Session()
            session.connectToMainThread()
            const names = new Set()
            let steps = 0
            session.on('Debugger.paused', ({ params }) => {
              names.add(params.callFrames[0].functionName)
              if (steps++ < 100) return session.post('Debugger.stepInto')
              session.post('Debugger.disable', () => {
                session.disconnect()
                parentPort.postMessage([...names])
                Atomics.store(workerData, 0, 1)
              })
            })
            session.post('Debugger.enable', () => Atomics.store(workerData, 1, 1))
            const pausing = setInterval(() => {
              if (Atomics.load(workerData, 2) === 0) return
              clearInterval(pausing)
              session.post('Debugger.pause')
            }, 10)
            setInterval(() => {}, 1000)
          \`, { eval: true, workerData: state })
          const told = new Promise((resolve) => other.once('message', resolve))
          while (state[1] === 0) await new Promise(setImmediate)
          Atomics.store(state, 2, 1)
          while (Atomics.wait(state, 0, 0, 1) === 'timed-out') for (let i = 0; i < 3; i++) plain(i)
          const stepped = await told
          await other.terminate()
          gc()
          const after = runtimeInfo().settled
          for (let i = 0; i < 3; i++) {
            collect()
            for (const g of made) if (made.indexOf(g) % 3 === 2) g.switch()
          }
          gc(); gc(); gc()
          console.log(stepped.includes('plain'), stepped.includes('descend'), before > 250, after > 250, runtimeInfo().scan, end())`
        // No scavenge while it is attached: that would dissolve the classes.
        const roomy = ['--min-semi-space-size=128', '--max-semi-space-size=128', ...flags]
        await run(t, source, env, 'true true true true classes true\n', roomy)
      },
    )
  }
}

fastOnly(test, NOT_THERE)('classes are off with options under which V8 keeps frames in another way', async (t) => {
  const source = `park(300); gc(); gc(); console.log(runtimeInfo().scan, runtimeInfo().scanReason, runtimeInfo().settled, end())`
  const reason = "an option of the command line keeps V8's frames in another way"
  await run(t, source, ON, `young ${reason} 0 true\n`, ['--interpreted-frames-native-stack'])
  if (major >= 22) await run(t, source, ON, `young ${reason} 0 true\n`, ['--minor-ms'])
})

test('classes are off in the locker lane', async (t) => {
  const source = `park(30); gc(); console.log(runtimeInfo().scan, runtimeInfo().scanReason, end())`
  await run(t, source, { ...ON, GREENLETS_LANE: 'locker' }, 'all every collection visits all stacks here true\n')
})

for (const when of [0, 1]) {
  fastOnly(test, NOT_THERE)(
    `V8 collects in an add-on's callback ${when === 0 ? 'before' : 'after'} a scavenge, while stacks are settled`,
    async (t) => {
      const source = `
        const addon = (await import('./__test__/helpers/addon.ts')).loadCollections()
        park(300)
        gc(); gc()
        const { settled } = runtimeInfo()
        addon.collecting(${when}, false)
        addon.allow(2)
        for (let i = 0; i < 6; i++) { litter(); gc({ type: 'minor' }) }
        gc(); gc()
        console.log(settled > 250, addon.collections(), end())`
      await run(t, source, ON, 'true 2 true\n')
    },
  )
}
