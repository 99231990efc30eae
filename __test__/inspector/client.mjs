// A debugger of its own: starts target.mjs with --inspect, pauses it again and again, looks round, steps, and lets it go.
// Prints what it has seen as JSON. Needs WebSocket.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const PAUSES = 12
const target = spawn(
  process.execPath,
  ['--inspect=0', '--expose-gc', ...process.argv.slice(2), fileURLToPath(new URL('target.mjs', import.meta.url))],
  { stdio: ['ignore', 'inherit', 'pipe'] },
)
const ended = new Promise((resolve) => target.on('exit', (code, signal) => resolve(signal ?? code)))
let stderr = ''
const address = await new Promise((resolve) => {
  target.stderr.on('data', (chunk) => {
    stderr += chunk
    const url = /ws:\/\/\S+/.exec(stderr)
    if (url) resolve(url[0])
  })
})

const socket = new WebSocket(address)
await new Promise((resolve) => socket.addEventListener('open', resolve))
const answers = new Map()
const pauses = []
let waiting
socket.addEventListener('message', ({ data }) => {
  const { id, method, params, result, error } = JSON.parse(data)
  if (id !== undefined) answers.get(id)(result ?? error)
  else if (method === 'Debugger.paused') {
    if (waiting) waiting(params.callFrames)
    else pauses.push(params.callFrames)
    waiting = undefined
  }
})
let sent = 0
const call = (method, params = {}) =>
  new Promise((resolve) => {
    answers.set(++sent, resolve)
    socket.send(JSON.stringify({ id: sent, method, params }))
  })
/** The frames of the next pause; undefined where there is none for a while. */
const paused = (ms = 5000) =>
  pauses.length > 0
    ? pauses.shift()
    : new Promise((resolve) => {
        waiting = resolve
        setTimeout(() => {
          if (waiting === resolve) waiting = undefined
          resolve(undefined)
        }, ms)
      })
/** Goes on, whatever it is doing, and forgets pauses that nobody has waited for. */
const goOn = async () => {
  do {
    pauses.length = 0
    await call('Debugger.resume')
    await new Promise((resolve) => setTimeout(resolve, 20))
  } while (pauses.length > 0)
}
const evaluate = async (expression) =>
  (await call('Runtime.evaluate', { expression, returnByValue: true })).result?.value
const evaluateIn = async (frame, expression) =>
  (await call('Debugger.evaluateOnCallFrame', { callFrameId: frame.callFrameId, expression, returnByValue: true }))
    .result?.value

const seen = { pauses: 0, inWork: 0, tags: [], readable: true, refused: true, breakpoints: 0, stayed: 0, samples: 0 }
await call('Runtime.enable')
await call('Debugger.enable')
await call('Debugger.setAsyncCallStackDepth', { maxDepth: 8 })
while ((await evaluate('typeof read')) !== 'function') await new Promise((resolve) => setTimeout(resolve, 20))

for (let i = 0; i < PAUSES; i++) {
  await call('Debugger.pause')
  let frames = await paused()
  for (let steps = 0; frames !== undefined && steps < 6; steps++) {
    seen.pauses++
    if (frames[0].functionName === 'work') {
      seen.inWork++
      seen.tags.push(await evaluateIn(frames[0], 'tag'))
    }
    seen.readable &&= (await evaluate('read()')) >= 7
    seen.refused &&= (await evaluate('attempt()')) === 'ERR_GREENLET_FORBIDDEN'
    if (i % 5 === 0) await evaluate('collect()')
    await call(`Debugger.step${['Over', 'Into', 'Over', 'Out', 'Over', 'Into'][steps]}`)
    frames = await paused(150)
  }
  await goOn()
}

// A breakpoint in front of the switch, and from there over it: still the same greenlet, though seven others run meanwhile.
const { breakpointId } = await call('Debugger.setBreakpointByUrl', { lineNumber: 11, urlRegex: 'target\\.mjs$' })
for (let i = 0; i < 10; i++) {
  const frames = await paused()
  if (frames === undefined) break
  seen.breakpoints++
  if (i > 0) {
    await call('Debugger.resume')
    continue
  }
  const tag = await evaluateIn(frames[0], 'tag')
  await call('Debugger.removeBreakpoint', { breakpointId })
  await call('Debugger.stepOver')
  const after = await paused()
  if (after && after[0].functionName === 'work' && (await evaluateIn(after[0], 'tag')) === tag) seen.stayed++
  await call('Debugger.setBreakpointByUrl', { lineNumber: 11, urlRegex: 'target\\.mjs$' })
  await call('Debugger.resume')
}
await call('Debugger.disable')
await call('Profiler.enable')
await call('Profiler.setSamplingInterval', { interval: 100 })
// A busy machine samples late.
for (let tries = 0; tries < 10 && seen.samples < 10; tries++) {
  await call('Profiler.start')
  await new Promise((resolve) => setTimeout(resolve, 500))
  const { profile } = await call('Profiler.stop')
  for (const { callFrame, hitCount } of profile.nodes) if (callFrame.functionName === 'work') seen.samples += hitCount
}
await evaluate('finish()')
socket.close()
const end = await ended
console.log(JSON.stringify({ ...seen, tags: new Set(seen.tags).size, end, stderr: end === 0 ? '' : stderr }))
