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

/** 200 stacks, of which those for which `which` is true hold one object. */
const sharing = (which: string) => `
  const hold = (object) => { main.switch(); return object !== undefined }
  let shared = { text: 'shared' }
  const weak = new WeakRef(shared)
  for (let i = 0; i < 200; i++) {
    const g = new Greenlet(hold)
    g.switch(${which} ? shared : { i })
    made.push(g)
  }
  shared = undefined
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
    ${sharing('i < 2')}
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
for (const env of [ON, { ...VERIFY, ...SPILLED }]) {
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
              if (steps++ < 60) return session.post('Debugger.stepInto')
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

/** Stacks of two functions of one shape, so that each has bytecode of its own in the table. Without a suspension they return at once. */
const PAIR = `
  const { Session } = await import('node:inspector')
  function f(o) { const list = [0]; list[0] = o; if (o.i) main.switch(list); return list[0].i === o.i }
  function g(o) { const list = [0]; list[0] = o; if (o.i) main.switch(list); return list[0].i === o.i }
  Object.assign(globalThis, { g })
  for (let i = 1; i <= 200; i++) {
    const greenlet = new Greenlet(i % 4 === 0 ? g : f)
    greenlet.switch({ i })
    made.push(greenlet)
  }
  const session = new Session()
  session.connect()
  const evaluate = () => session.post('Runtime.evaluate', { expression: 'g({ i: 0 })', throwOnSideEffect: true })
`

// As the REPL does for its preview. V8 gives the functions that it calls other bytecode, also on suspended stacks, and leaves it there. No
// debugger counts as attached.
for (const env of [ON, VERIFY, { ...ON, ...SPILLED }]) {
  fastOnly(test, NOT_THERE)(
    `an evaluation without side effects changes the bytecode of suspended functions ${JSON.stringify(env)}`,
    async (t) => {
      const source = `
        ${PAIR}
        for (let i = 0; i < 3; i++) collect()
        const { settled } = runtimeInfo()
        evaluate()
        for (let i = 0; i < 3; i++) collect()
        console.log(settled > 150, runtimeInfo().settled > 150, runtimeInfo().scan, end())`
      await run(t, source, env, 'true true classes true\n', ['--compact-on-every-full-gc'])
    },
  )

  fastOnly(test, NOT_THERE)(
    `settled stacks get their bytecode back when a debugger is detached ${JSON.stringify(env)}`,
    async (t) => {
      const source = `
        ${PAIR}
        evaluate()
        for (let i = 0; i < 3; i++) collect()
        const { settled } = runtimeInfo()
        session.post('Debugger.enable')
        session.post('Debugger.disable')
        for (let i = 0; i < 3; i++) collect()
        console.log(settled > 150, runtimeInfo().settled > 150, runtimeInfo().scan, end())`
      await run(t, source, env, 'true true classes true\n', ['--compact-on-every-full-gc'])
    },
  )
}

fastOnly(test, NOT_THERE)('a heap snapshot near the limit of the heap collects inside of a collection', async (t) => {
  const source = `
    const { mkdtempSync, readdirSync, rmSync } = await import('node:fs')
    const { AsyncLocalStorage } = await import('node:async_hooks')
    const store = new AsyncLocalStorage()
    park(900)
    for (let i = 0; i < 3; i++) collect()
    const { settled } = runtimeInfo()
    const home = process.cwd()
    const folder = mkdtempSync((process.env.TMPDIR ?? '/tmp') + '/greenlets-snapshot-')
    process.chdir(folder)
    const kept = store.run('kept', () => {
      const keep = []
      while (readdirSync('.').length === 0) for (let i = 0; i < 2000; i++) keep.push({ i, list: [i] })
      return store.getStore()
    })
    process.chdir(home)
    rmSync(folder, { recursive: true })
    collect()
    console.log(settled > 850, kept, runtimeInfo().scan, end())`
  const flags = ['--max-heap-size=40', '--compact-on-every-full-gc', '--heapsnapshot-near-heap-limit=1']
  const { code, stdout } = await runProgram(PARK + source, { flags: ['--expose-gc', ...flags], env: ON })
  t.deepEqual([code, stdout], [0, 'true kept classes true\n'])
})

fastOnly(test, NOT_THERE)('stacks with very many objects are visited as ever', async (t) => {
  // To look for each of their words among all others would take seconds.
  const source = `
    function many() { main.switch(); return arguments.length === 3000 }
    for (let i = 0; i < 80; i++) {
      const g = new Greenlet(many)
      g.switch(...Array.from({ length: 3000 }, () => ({})))
      made.push(g)
    }
    gc(); gc(); gc()
    console.log(runtimeInfo().settled, end())`
  await run(t, source, ON, '0 true\n')
})

fastOnly(test, NOT_THERE)('a class that no stack could join keeps nothing alive', async (t) => {
  // The words of a class are chosen with its first member, which may turn out to have too many words of its own.
  const source = `
    const hold = (shared, ...rest) => { main.switch(); return rest.length === 200 }
    function begin(round) {
      const shared = { round }
      for (let i = 0; i < 80; i++) {
        const own = Array.from({ length: 200 }, () => ({ i }))
        const g = new Greenlet((object) => hold(object, ...own))
        g.switch(shared)
        made.push(g)
      }
      return new WeakRef(shared)
    }
    let left = 0
    for (let round = 0; round < 10; round++) {
      const weak = begin(round)
      await new Promise(setImmediate)
      litter(); gc({ type: 'minor' }); gc()
      await new Promise(setImmediate)
      end()
      made.length = 0
      await new Promise(setImmediate)
      litter(); gc({ type: 'minor' }); gc()
      await new Promise(setImmediate)
      if (weak.deref() !== undefined) left++
      await new Promise(setImmediate)
    }
    console.log(left)`
  await run(t, source, ON, '0\n')
})

const JSPI = major >= 26 ? [] : ['--experimental-wasm-jspi']
;(major >= 24 ? fastOnly(test, NOT_THERE) : test.skip)(
  'while a wasm call has a stack of its own, classes keep nothing alive',
  async (t) => {
    const source = `
      ${sharing('i >= 100')}
      gc(); gc()
      await new Promise(setImmediate)
      const { settled } = runtimeInfo()
      const code = [0,97,115,109,1,0,0,0,1,4,1,96,0,0,2,7,1,1,101,1,102,0,0,3,2,1,0,7,5,1,1,103,0,1,10,6,1,4,0,16,0,11]
      const f = new WebAssembly.Suspending(() => new Promise(() => {}))
      const wasm = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(code)), { e: { f } })
      WebAssembly.promising(wasm.exports.g)()
      for (let i = 0; i < 100; i++) made.pop().switch()
      for (let i = 0; i < 3; i++) { await new Promise(setImmediate); gc() }
      const { scan, scanReason } = runtimeInfo()
      console.log(settled > 150, weak.deref(), scan, scanReason, runtimeInfo().settled, end())`
    await run(t, source, ON, 'true undefined young a wasm call has a stack of its own 0 true\n', JSPI)
  },
)

fastOnly(test, NOT_THERE)('only options of Node switch classes off', async (t) => {
  await run(t, `console.log(runtimeInfo().scan)`, ON, 'classes\n', ['--title=conservative-stack-scanning'])
  const pinned = `console.log(runtimeInfo().scan, runtimeInfo().scanReason)`
  const reason = 'an option of the command line lets V8 pin objects'
  await run(t, pinned, ON, `all ${reason}\n`, ['--conservative_stack_scanning'])
})

fastOnly(test, NOT_THERE)('classes are off with options under which V8 keeps frames in another way', async (t) => {
  const source = `park(300); gc(); gc(); console.log(runtimeInfo().scan, runtimeInfo().scanReason, runtimeInfo().settled, end())`
  const reason = "an option of the command line keeps V8's frames in another way"
  await run(t, source, ON, `young ${reason} 0 true\n`, ['--interpreted-frames-native-stack'])
  if (major >= 22) await run(t, source, ON, `young ${reason} 0 true\n`, ['--minor-ms'])
})

test('classes are off in the locker lane', async (t) => {
  const source = `park(30); gc(); console.log(runtimeInfo().scan, runtimeInfo().scanReason, end())`
  await run(t, source, { ...ON, GREENLETS_LANE: 'locker' }, 'all the locker lane leaves out no stacks true\n')
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
