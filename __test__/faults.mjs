// Breaks each fact about V8 on purpose. Loading must then end with a reason, never with a crash. `make test STAGES=faults` runs
// this with an addon built for it: node faults.mjs <addon>. Each fault has its own process; `ok` is the last line.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { isMainThread, Worker } from 'node:worker_threads'

const [addon, fault] = process.argv.slice(2)

/** The facts that each V8 has. Others cannot be broken there. */
const major = Number.parseInt(process.versions.node)
const FACTS = [
  'thread_local_top',
  'thread_local_top_words',
  'scope_data_words',
  'implementer_words',
  'spare',
  'interrupt_flags',
  ...(major >= 22 ? ['scope_data', 'embedder_data', 'callbacks'] : []),
  ...(major < 24 ? ['c_limits'] : ['wasm_own_stacks']),
]
const SYMBOLS = [
  '_ZN2v82V810GetVersionEv',
  '_ZN2v86Locker10InitializeEPNS_7IsolateE',
  '_ZN2v87Context17GetMicrotaskQueueEv',
  '_ZN2v88Function4CallENS_5LocalINS_7ContextEEENS1_INS_5ValueEEEiPS5_',
  '_ZN2v814PrimitiveArray3SetEPNS_7IsolateEiNS_5LocalINS_9PrimitiveEEE',
  '_ZN2v815MicrotasksScopeD1Ev',
  'uv_prepare_init',
  ...(major >= 22 ? ['_ZN2v87Isolate36SetContinuationPreservedEmbedderDataENS_5LocalINS_5ValueEEE'] : []),
]
const FAULTS = [
  ...FACTS.flatMap((fact) => [`${fact}+1`, `${fact}-1`]),
  // On the others it is the first word.
  ...(major < 22 ? ['exit_frame+1', 'exit_frame-1'] : ['exit_frame+1']),
  ...SYMBOLS.map((symbol) => `symbol:${symbol}`),
  'peek',
  'version',
  'symbol:_ZN4node21PromiseRejectCallbackEN2v820PromiseRejectMessageE',
  'symbol:_ZN2v816FunctionTemplate11GetFunctionENS_5LocalINS_7ContextEEE',
]

/**
 * Where the places that the first thread has found are wrong, a Worker searches for itself. If one way to read memory is forbidden,
 * another one is used. V8's LocalIsolate is a LocalHeap that begins one word earlier. Without Node's callback for rejected promises,
 * the promises of killed greenlets are reported as others are. Without V8's templates, a switch calls native by Node-API.
 */
const HARMLESS = [
  'known',
  'pipe',
  'callbacks+1',
  'symbol:_ZN4node21PromiseRejectCallbackEN2v820PromiseRejectMessageE',
  'symbol:_ZN2v816FunctionTemplate11GetFunctionENS_5LocalINS_7ContextEEE',
]

if (fault === undefined) {
  contradicted()
  runAll()
} else if (fault === 'classes') await foretellWrongly()
else {
  await runOne()
  if (isMainThread) new Worker(new URL(import.meta.url), { argv: [addon, fault] })
}

function runAll() {
  const failed = []
  for (const each of ['known', 'pipe', ...FAULTS]) {
    const args = ['--expose-gc', ...process.execArgv, fileURLToPath(import.meta.url), addon, each]
    const env = { ...process.env, GREENLETS_FAULT: each, NAPI_RS_NATIVE_LIBRARY_PATH: addon }
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
    const expected = HARMLESS.includes(each) ? 'it works' : 'refused: '
    // The Worker prints the same.
    const good = status === 0 && stdout.split(expected).length === 3
    if (!good) failed.push(each)
    console.log(
      `${good ? '' : 'NOT '}as it must be: ${each}: ${stdout.trim() || `${signal ?? status} ${stderr.trim().slice(0, 400)}`}`,
    )
  }
  if (failed.length > 0) throw new Error(`not as it must be: ${failed.join(', ')}`)
  console.log('ok')
}

/** Classes of stacks foretell what a full collection writes. A wrong prediction ends their use; with GREENLETS_VERIFY_GC=1 the process. */
function contradicted() {
  const args = ['--expose-gc', ...process.execArgv, fileURLToPath(import.meta.url), addon, 'classes']
  const settings = { GREENLETS_FAULT: 'classes', GREENLETS_SCAN: 'classes', NAPI_RS_NATIVE_LIBRARY_PATH: addon }
  for (const verify of ['0', '1']) {
    const env = { ...process.env, ...settings, GREENLETS_VERIFY_GC: verify }
    const { signal, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: 60_000 })
    const good =
      verify === '0'
        ? stdout === 'true classes; young a full collection changed a stack otherwise than its class foretold 0; true\n'
        : signal === 'SIGABRT' && stderr.includes('GREENLETS_VERIFY_GC: a full collection changed a stack otherwise')
    console.log(
      `${good ? '' : 'NOT '}as it must be: classes, verify ${verify}: ${signal ?? stdout.trim()} ${stderr.slice(0, 400)}`,
    )
    if (!good) process.exitCode = 1
  }
}

async function foretellWrongly() {
  const { Greenlet, runtimeInfo } = await import('../dist/index.js')
  const hold = (i) => {
    for (let round = 0; ; round++) {
      const own = [{ i, round }]
      if (Greenlet.main.switch(own) === 'end') return own[0].i === i && own[0].round === round
    }
  }
  const made = Array.from({ length: 300 }, () => new Greenlet(hold))
  made.forEach((g, i) => g.switch(i))
  // Mostly the first collection learns what V8 visits. Nothing moves in a second one of the same stacks: all that they hold is old.
  for (let i = 0; i < 5 && runtimeInfo().settled <= 250; i++) gc()
  const settled = runtimeInfo().settled > 250
  const scan = runtimeInfo().scan
  // Young objects: the next collection moves them.
  for (const g of made) g.switch()
  gc()
  const after = runtimeInfo()
  gc()
  console.log(
    `${settled} ${scan}; ${after.scan} ${after.scanReason} ${after.settled}; ${made.every((g) => g.switch('end'))}`,
  )
}

async function runOne() {
  const { Greenlet, UnsupportedRuntimeError, runtimeInfo } = await import('../dist/index.js')
  const { supported, reason } = runtimeInfo()
  if (supported) {
    const greenlet = new Greenlet((x) => Greenlet.main.switch(x))
    greenlet.switch(1)
    gc()
    const result = greenlet.switch('it works')
    greenlet.switch()
    new Greenlet(() => Greenlet.current.kill()).switch()
    console.log(result)
    return
  }
  try {
    new Greenlet()
  } catch (error) {
    if (!(error instanceof UnsupportedRuntimeError) || error.message !== reason) throw error
    gc()
    const { node } = process.versions
    const found =
      reason.includes(`(Node.js ${node} with V8 `) &&
      / with V8 (?:\d+\.|of unknown version).*, linux-\w+, (?:glibc \d|musl)/.test(reason)
    if (!found) throw new Error(`the reason does not say what was found: ${reason}`)
    console.log(`refused: ${reason}`)
  }
}
