// A debugger client: starts target.mjs with --inspect, pauses it many times, reads and steps in each pause, and resumes it.
// Prints its results as JSON. Needs WebSocket.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const PAUSES = 4
const STEPS = ['Over', 'Into', 'Over', 'Out', 'Over', 'Into']
const target = spawn(
  process.execPath,
  ['--inspect=0', '--expose-gc', ...process.argv.slice(2), fileURLToPath(new URL('target.mjs', import.meta.url))],
  { stdio: ['ignore', 'inherit', 'pipe'] },
)
const ended = new Promise((resolve) => target.on('exit', (code, signal) => resolve(signal ?? code)))
let stderr = ''
/** The last messages, to report if the target stops answering. */
const recent = []
let finished = false
function giveUp(why) {
  console.log(JSON.stringify({ why, stderr, recent }))
  target.kill('SIGKILL')
  process.exit(1)
}
setTimeout(giveUp, 90_000, 'it takes too long').unref()
const address = await new Promise((resolve) => {
  target.stderr.on('data', (chunk) => {
    stderr += chunk
    // The line may arrive in parts.
    const url = /ws:\/\/\S+(?=\s)/.exec(stderr)
    if (url) resolve(url[0])
  })
})

const socket = new WebSocket(address)
for (const event of ['error', 'close']) socket.addEventListener(event, () => finished || giveUp(`the socket: ${event}`))
await new Promise((resolve) => socket.addEventListener('open', resolve))
const answers = new Map()
const pauses = []
let waiting
socket.addEventListener('message', ({ data }) => {
  const { id, method, params, result, error } = JSON.parse(data)
  if (recent.push(`< ${data.slice(0, 200)}`) > 30) recent.shift()
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
    recent.push(`> ${sent} ${method}`)
    socket.send(JSON.stringify({ id: sent, method, params }))
  })
/** The frames of the next pause; undefined if there is none for `ms` milliseconds. */
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
/** Resumes the target, in any state, and drops pauses that were not read. */
const goOn = async () => {
  do {
    pauses.length = 0
    await call('Debugger.resume')
    await new Promise((resolve) => setTimeout(resolve, 10))
  } while (pauses.length > 0)
}
const evaluate = async (expression) =>
  (await call('Runtime.evaluate', { expression, returnByValue: true })).result?.value
const evaluateIn = async (frame, expression) =>
  (await call('Debugger.evaluateOnCallFrame', { callFrameId: frame.callFrameId, expression, returnByValue: true }))
    .result?.value
const breakBeforeSwitch = () => call('Debugger.setBreakpointByUrl', { lineNumber: 11, urlRegex: 'target\\.mjs$' })

const seen = { pauses: 0, tags: [], readable: true, refused: true, breakpoints: 0, stayed: false }
await Promise.all([call('Runtime.enable'), call('Debugger.enable')])
while ((await evaluate('typeof look')) !== 'function') await new Promise((resolve) => setTimeout(resolve, 20))

// Sends several messages at once: waiting for each answer takes 40 ms, because TCP collects small messages.
for (let i = 0; i < PAUSES; i++) {
  void call('Debugger.pause')
  let frames = await paused()
  for (let steps = 0; frames !== undefined && steps < STEPS.length; steps++) {
    seen.pauses++
    const looked = evaluate(i % 2 ? 'look()' : 'collect(), look()')
    const stepped = call(`Debugger.step${STEPS[steps]}`)
    const [readable, code] = await looked
    seen.readable &&= readable
    seen.refused &&= code === 'ERR_GREENLET_FORBIDDEN'
    await stepped
    // Undefined: the greenlet waits for its next turn.
    frames = await paused(100)
  }
  await goOn()
}

// Sets a breakpoint before the switch and steps over the switch. It must stay in the same greenlet, although seven others run.
const { breakpointId } = await breakBeforeSwitch()
for (let i = 0; i < 10; i++) {
  const frames = await paused()
  if (frames === undefined) break
  seen.breakpoints++
  const tag = evaluateIn(frames[0], 'tag')
  if (i === 0) {
    void call('Debugger.removeBreakpoint', { breakpointId })
    void call('Debugger.stepOver')
    const [after] = (await paused()) ?? []
    seen.stayed = after?.functionName === 'work' && (await evaluateIn(after, 'tag')) === (await tag)
    void breakBeforeSwitch()
  }
  void call('Debugger.resume')
  seen.tags.push(await tag)
}
await call('Debugger.disable')
await evaluate('finish()')
finished = true
socket.close()
const end = await ended
console.log(JSON.stringify({ ...seen, tags: new Set(seen.tags).size, end, stderr: end === 0 ? '' : stderr }))
