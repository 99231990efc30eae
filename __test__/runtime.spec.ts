import test from 'ava'
import { runProgram } from './helpers/program.ts'

const NOWHERE = "process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nowhere/greenlets.node'"

test('without an addon importing works, and runtimeInfo() gives the reason', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    const { supported, reason, lane, node, v8 } = runtimeInfo()
    console.log(supported, lane, node === process.versions.node, v8 === process.versions.v8)
    console.log(reason)
    console.log(Greenlet.current === main, String(main), Greenlet.all().length, main.switch(5), main.gr_stack.length)
    try { wait(1) } catch (error) { console.log(error.code) }
  `,
    { before: NOWHERE },
  )
  const [first, reason, ...rest] = stdout.trim().split('\n')
  t.is(first, 'false undefined true true')
  t.regex(reason!, /could not load its native addon on \w+-\w+.*\/nowhere\/greenlets\.node/)
  t.deepEqual(rest, ["true <Greenlet 'main' current active started main> 1 5 0", 'ERR_GREENLET_WAIT_ON_MAIN'])
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
})

test('without an addon the first greenlet throws UnsupportedRuntimeError, and so does every other one', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    class Sub extends Greenlet {}
    for (const make of [() => new Greenlet(() => {}), () => new Greenlet(), () => new Sub(), () => spawn(() => {})]) {
      try {
        make()
      } catch (error) {
        console.log(error instanceof UnsupportedRuntimeError, error instanceof GreenletError, error.name, error.code,
          error.message === runtimeInfo().reason)
      }
    }
    console.log(Greenlet.all().length)
  `,
    { before: NOWHERE },
  )
  const line = 'true true UnsupportedRuntimeError ERR_GREENLET_UNSUPPORTED_RUNTIME true\n'
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `${line.repeat(4)}1\n`, stderr: '' })
})

test('collections of wasm code that are in progress or due at the first greenlet do not see its stack', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    const g = new Greenlet(() => main.switch())
    g.switch()
    setTimeout(() => console.log('alive'), 50)
  `,
    {
      flags: ['--stress-wasm-code-gc'],
      // (func (export "g") (result i32) i32.const 42), hot enough to be compiled again, which leaves dead code
      before: `
      const wasm = new Uint8Array([
        0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 103, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11,
      ])
      for (let i = 0; i < 60; i++) {
        const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm))
        for (let n = 0; n < 20_000; n++) exports.g()
      }`,
    },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'alive\n', stderr: '' })
})

test('runtimeInfo() leaves no memory that a later garbage collection writes to', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    runtimeInfo()
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    for (let i = 0; i < 5; i++) await turn(gc())
    const arrays = Array.from({ length: 20_000 }, () => new Int32Array(new ArrayBuffer(32)))
    gc()
    console.log(arrays.filter((array) => array.some((number) => number !== 0)).length)
  `,
    { flags: ['--expose-gc'] },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '0\n', stderr: '' })
})

/** Code of the program that V8 or Node runs while greenlets are set up. It would wait for its own thread for ever. */
const DURING_THE_SET_UP = {
  'the callback of a FinalizationRegistry': `
    globalThis.kept = new FinalizationRegistry(() => seen.push(new Greenlet((x) => x).switch('made')))
    ;(() => { for (let i = 0; i < 100; i++) kept.register({ i }) })()
    gc()
    gc()`,
  'the callback of a FinalizationRegistry that asks only': `
    globalThis.kept = new FinalizationRegistry(() => seen.push(runtimeInfo().supported))
    ;(() => { for (let i = 0; i < 100; i++) kept.register({ i }) })()
    gc()
    gc()`,
  'an async hook': `
    const { createHook } = await import('node:async_hooks')
    const ask = () => seen.push(runtimeInfo().reason)
    globalThis.hook = createHook({ before: ask, after: ask }).enable()`,
  'a promise job': `Promise.resolve().then(() => seen.push(runtimeInfo().supported))`,
}

for (const [what, before] of Object.entries(DURING_THE_SET_UP)) {
  test(`${what} may use greenlets before the first one is made, and blocks nothing`, async (t) => {
    const program = `
      const seen = []
      ${before}
      const { supported } = runtimeInfo()
      globalThis.hook?.disable()
      console.log(supported, new Greenlet((x) => x).switch('first'))
      const busy = 'greenlets cannot be set up by code that runs in the middle of the set-up; make the first one after that'
      console.log(seen.every((it) => it === 'made' || it === true || it === undefined || it === busy))`
    const { code, signal, stdout, stderr } = await runProgram(program, { flags: ['--expose-gc'] })
    t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'true first\ntrue\n' }, stderr)
  })
}
