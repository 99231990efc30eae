// The debugger, driven by an inspector session in the same process.

import test from 'ava'
import { fastOnly, NO_SAMPLES } from '../helpers/lane.ts'
import { makePrints } from '../helpers/prints.ts'

/** `plan` has a function for each next pause; `log` collects each position, as `function:line(tag)`. */
const HEAD = `
  const { Session } = await import('node:inspector')
  const session = new Session()
  session.connect()
  const post = (method, params = {}) => {
    let answer
    session.post(method, params, (error, result) => (answer = error ?? result))
    return answer
  }
  const evaluate = (frame, expression) =>
    post('Debugger.evaluateOnCallFrame', { callFrameId: frame.callFrameId, expression, returnByValue: true }).result?.value
  let log = []
  let plan = []
  let first
  session.on('Debugger.paused', ({ params: { callFrames } }) => {
    const [frame] = callFrames
    first ??= frame.location.lineNumber
    log.push(frame.functionName + ':' + (frame.location.lineNumber - first) + '(' + evaluate(frame, 'typeof tag === "undefined" ? "" : tag') + ')')
    plan.shift()?.(callFrames)
  })
  const step = (kind) => () => post('Debugger.' + kind)
  const times = (n, action) => Array.from({ length: n }, () => action)
  const printLog = () => { console.log(log.join(' ')); log = []; first = undefined }
  post('Debugger.enable')
`

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({ head: HEAD })

test(
  'a debugger statement in a greenlet shows its frames and their variables',
  prints,
  `
  function inner(tag) { const own = tag + '!'; debugger; return own }
  function outer(tag) { return [tag].map((tag) => inner(tag))[0] }
  plan = [(frames) => log.push(evaluate(frames[0], 'own'), frames.map((frame) => frame.functionName || '-').slice(0, 3).join())]
  const g = new Greenlet((tag) => { main.switch(); return outer(tag) })
  g.switch('g')
  log.push(g.switch())
  printLog()`,
  'inner:0(g) g! inner,-,outer g!\n',
)

test(
  'a breakpoint in a function stops each greenlet that is suspended in it',
  prints,
  `
  function body(tag) {
    const from = main.switch()
    return tag + from
  }
  const all = ['a', 'b', 'c'].map((tag) => { const g = new Greenlet(body); g.switch(tag); return g })
  globalThis.body = body
  const { objectId } = post('Runtime.evaluate', { expression: 'globalThis.body' }).result
  const location = post('Runtime.getProperties', { objectId }).internalProperties.find(({ name }) => name === '[[FunctionLocation]]').value.value
  post('Debugger.setBreakpoint', { location: { ...location, lineNumber: location.lineNumber + 2 } })
  for (const g of all.toReversed()) log.push(g.switch(1))
  printLog()`,
  'body:0(c) c1 body:0(b) b1 body:0(a) a1\n',
)

const STEPPED = `
  function leaf(tag, depth) {
    if (depth > 0) return leaf(tag, depth - 1)
    if (tag === 'T') debugger
    let k = 1
    const r = main.switch(tag)
    k++
    k++
    return r + k
  }
  const made = (tag, depth) => { const g = new Greenlet(leaf); g.switch(tag, depth); return g }
  const others = [made('a', 0), made('b', 9)]
`

test(
  'stepping over a switch stays in its greenlet, although other greenlets run the same function meanwhile',
  prints,
  `${STEPPED}
  plan = [...times(5, step('stepOver')), step('resume')]
  const stepped = made('T', 3)
  log.push('parked')
  others.push(made('c', 0), made('d', 9))
  for (const g of others) g.switch('x')
  log.push('others')
  stepped.switch('x')
  printLog()`,
  'leaf:0(T) leaf:1(T) leaf:2(T) parked others leaf:3(T) leaf:4(T) leaf:5(T)\n',
)

test(
  'stepping out of a function with a switch in it stays in its greenlet',
  prints,
  `
  function leaf(tag) { if (tag === 'T') debugger; main.switch(tag); return tag }
  function caller(tag) {
    const was = leaf(tag)
    return was
  }
  const made = (tag) => { const g = new Greenlet(caller); g.switch(tag); return g }
  const other = made('a')
  plan = [step('stepOut'), () => {}]
  const stepped = made('T')
  other.switch()
  made('b').switch()
  log.push('others')
  stepped.switch()
  log = log.map((entry) => entry.replace(/:\\d+/, ''))
  printLog()`,
  'leaf(T) others caller(T)\n',
)

test(
  'stepping into a switch continues in the target greenlet',
  prints,
  `
  function target(tag) {
    let own = tag
    main.switch(own)
    return own
  }
  const g = new Greenlet(target)
  function drive(tag) {
    debugger
    g.switch('G')
    return tag
  }
  plan = times(200, step('stepInto'))
  drive('main')
  log = [...new Set(log.map((entry) => entry.split(':')[0]))].filter((name) => ['target', 'drive'].includes(name))
  printLog()`,
  'drive target\n',
)

test(
  'an exception in a greenlet pauses the debugger there',
  prints,
  `
  function thrower(tag) { throw new Error(tag) }
  const g = new Greenlet((tag) => { main.switch(); try { thrower(tag) } catch (error) { return error.message } })
  g.switch('G')
  post('Debugger.setPauseOnExceptions', { state: 'all' })
  log.push(g.switch())
  printLog()`,
  'thrower:0(G) G\n',
)

test(
  'no stack can be left while the debugger is paused, and each one can be left afterwards',
  prints,
  `
  globalThis.parked = new Greenlet(() => main.switch('parked'))
  globalThis.fresh = new Greenlet(() => 'started')
  globalThis.main = main
  parked.switch()
  const attempt = (what) => '(() => { try { return ' + what + ' } catch (error) { return error.code + (/debugger/.test(error.message)) } })()'
  plan = ['parked.switch()', 'main.switch()'].map((what) => ([frame]) => {
    log.push(evaluate(frame, attempt(what)), evaluate(frame, attempt('fresh.switch()')), evaluate(frame, 'parked.gr_stack.length'))
  })
  function pause() { debugger }
  pause()
  new Greenlet(pause).switch()
  log.push(parked.switch('on'), fresh.switch())
  printLog()`,
  'pause:0() ERR_GREENLET_FORBIDDENtrue ERR_GREENLET_FORBIDDENtrue 1 pause:0() ERR_GREENLET_FORBIDDENtrue ERR_GREENLET_FORBIDDENtrue 1 on started\n',
)

test(
  'the first greenlet cannot be made while the debugger is paused, and can be made afterwards',
  prints,
  `
  globalThis.Made = Greenlet
  plan = [([frame]) => log.push(evaluate(frame, '(() => { try { new Made() } catch (error) { return error.message } })()'))]
  function pause() { debugger }
  pause()
  log.push(new Greenlet((x) => x).switch(5))
  printLog()`,
  'pause:0() greenlets cannot be set up while the debugger is paused; make the first one after that 5\n',
)

test(
  'evaluations in a pause in the middle of a switch do not change the switch',
  prints,
  `
  const wrong = (act) => { try { act() } catch {} }
  const rest = Array.from({ length: 3 }, () => new Greenlet((x) => { for (;;) x = main.switch('rest ' + x) }))
  for (const g of rest) g.switch('starts')
  const fresh = new Greenlet(() => printLog('wrong'))
  globalThis.meddle = () => {
    for (const g of Greenlet.all()) {
      if (g.state !== 'suspended') continue
      String(g.gr_stack)
      g.stackSize
      wrong(() => g.switch('wrong'))
      wrong(() => g.throw(new Error('wrong')))
    }
    wrong(() => fresh.switch())
  }
  post('Debugger.setBlackboxPatterns', { patterns: ['^node:'] })
  let pauses = 0
  // Evaluates nothing in the package's own frames: V8 12 ends the process for some of them.
  session.removeAllListeners('Debugger.paused')
  session.on('Debugger.paused', () => {
    if (++pauses > 5000) process.exit(1)
    post('Runtime.evaluate', { expression: 'meddle()' })
    post('Debugger.stepInto')
  })
  function body(x) {
    try { x = main.switch('parked ' + x) } catch (error) { x = main.switch('caught ' + error.message) }
    return 'result ' + x
  }
  function drive() {
    debugger
    const g = new Greenlet(body)
    const seen = [g.switch('a'), g.throw(new RangeError('b')), rest[1].switch('c'), g.switch('d'), rest[2].switch('e')]
    const failing = new Greenlet(() => { throw new TypeError('f') })
    try { failing.switch() } catch (error) { seen.push(error.message) }
    post('Debugger.disable')
    return [...seen, g.dead, rest[0].switch('g'), fresh.started]
  }
  log = drive()
  console.log(pauses > 300)
  printLog()`,
  'true\nparked a caught b rest c result d rest e f true rest g false\n',
)

fastOnly(test, NO_SAMPLES)(
  'samples of a profile inside greenlets belong to their functions',
  prints,
  `
  function hot(n) { let sum = 0; for (let i = 0; i < n; i++) sum += Math.sqrt(i) * i % 7; return sum }
  function bodyA() { for (;;) { hot(2e4); main.switch() } }
  function bodyB() { for (;;) [1].map(function inMap() { hot(2e4); main.switch() }) }
  post('Profiler.enable')
  post('Profiler.setSamplingInterval', { interval: 100 })
  const all = Array.from({ length: 20 }, (_, i) => new Greenlet(i % 2 ? bodyA : bodyB))
  post('Profiler.start')
  const until = Date.now() + 1500
  while (Date.now() < until) for (const g of all) g.switch()
  const { profile } = post('Profiler.stop')
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  const parents = new Map(profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node])))
  const ancestors = (node) => { const names = []; for (let at = node; at; at = parents.get(at.id)) names.push(at.callFrame.functionName); return names }
  const samples = profile.samples.map((id) => byId.get(id)).filter((node) => node.callFrame.functionName === 'hot')
  // Node 20 does not always know a function that was optimized while it ran. Then it reports the caller, our 'runOne' or 'entry'.
  const owners = samples.map((node) => ancestors(node).find((name) => ['bodyA', 'inMap', 'runOne', 'entry'].includes(name)))
  console.log(samples.length > 10, owners.every(Boolean), owners.includes('bodyA') && owners.includes('inMap'))`,
  'true true true\n',
)

test(
  'a sampling heap profile names the functions of greenlets',
  prints,
  `
  function hoarder() { const kept = []; for (let i = 0; i < 2e5; i++) kept.push({ i }); main.switch(); return kept }
  post('HeapProfiler.enable')
  post('HeapProfiler.startSampling', { samplingInterval: 4096 })
  const g = new Greenlet(hoarder)
  g.switch()
  const { profile } = post('HeapProfiler.stopSampling')
  const sizeOf = (node, name) => (node.callFrame.functionName === name ? node.selfSize : 0) + node.children.reduce((sum, child) => sum + sizeOf(child, name), 0)
  console.log(sizeOf(profile.head, 'hoarder') > 1e6)`,
  'true\n',
)

test(
  'a heap snapshot finds the variables of 1,000 suspended greenlets, also when a greenlet takes it',
  prints,
  `
  const { writeHeapSnapshot } = await import('node:v8')
  const { readFileSync, rmSync } = await import('node:fs')
  const { join } = await import('node:path')
  const { tmpdir } = await import('node:os')
  class Local { constructor(n) { this.n = n } }
  const all = Array.from({ length: 1000 }, (_, n) => { const g = new Greenlet(() => { const local = new Local(n); main.switch(); return local.n }); g.switch(); return g })
  const count = () => {
    const file = writeHeapSnapshot(join(tmpdir(), 'greenlets-' + process.pid + '.heapsnapshot'))
    const text = readFileSync(file, 'utf8')
    rmSync(file)
    const { snapshot, nodes, strings } = JSON.parse(text)
    const { node_fields, node_types } = snapshot.meta
    const [type, name] = [node_fields.indexOf('type'), node_fields.indexOf('name')]
    let found = 0
    for (let i = 0; i < nodes.length; i += node_fields.length) if (node_types[0][nodes[i + type]] === 'object' && strings[nodes[i + name]] === 'Local') found++
    return found >= 1000
  }
  console.log(count(), new Greenlet(count).switch(), all.reduce((sum, g) => sum + g.switch(), 0))`,
  'true true 499500\n',
)

test(
  'coverage counts the calls in greenlets',
  prints,
  `
  post('Profiler.enable')
  post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  function counted() { main.switch() }
  for (let i = 0; i < 7; i++) new Greenlet(counted).switch()
  const { result } = post('Profiler.takePreciseCoverage')
  console.log(result.flatMap(({ functions }) => functions).find(({ functionName }) => functionName === 'counted').ranges[0].count)`,
  '7\n',
)
