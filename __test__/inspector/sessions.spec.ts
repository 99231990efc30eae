// Inspector sessions that are disconnected while a greenlet is suspended in JavaScript that the session has called. Without protection,
// the session would be freed. Each program runs in its own process, because a mistake here is a crash.

import test from 'ava'
import { makePrints } from '../helpers/prints.ts'

const HEAD = `
  const inspector = await import('node:inspector')
  const promises = await import('node:inspector/promises')
  const turns = async () => { for (let i = 0; i < 4; i++) { await new Promise((r) => setTimeout(r, 3)); gc() } }
  const reuse = () => Array.from({ length: 200 }, () => { const s = new inspector.Session(); s.connect(); return s })
  globalThis.leave = () => { if (Greenlet.current !== main) main.switch() }
  const error = (call) => { try { call(); return 'none' } catch (e) { return e.code + ' ' + e.message } }
  const check = async (enter, Session = inspector.Session) => {
    const all = [], seen = new Set()
    for (let i = 0; i < 20; i++) {
      const session = new Session()
      session.connect()
      const g = new Greenlet(enter(session), { name: 'inside' })
      g.switch()
      seen.add(error(() => session.disconnect()))
      all.push(g, session)
    }
    await turns()
    globalThis.reused = reuse()
    for (const each of all) if (each instanceof Greenlet) each.switch(); else seen.add(error(() => each.disconnect()))
    await turns()
    console.log([...seen].join('\\n'), all.every((each) => each.dead !== false))
  }
`

const IN_USE = (call: string): string =>
  `ERR_GREENLET_IN_USE the inspector session cannot be disconnected: greenlet 'inside' is inside of ${call}(), which has not returned; ` +
  'disconnect it after that\nnone true\n'

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({ head: HEAD, flags: ['--expose-gc'] })

test(
  'a session is not disconnected while a greenlet is suspended in an expression that it evaluates',
  prints,
  `await check((session) => () => session.post('Runtime.evaluate', { expression: 'leave()' }))`,
  IN_USE('post'),
)
test(
  'a session is not disconnected while a greenlet is suspended in a callback of post()',
  prints,
  `await check((session) => () => session.post('Runtime.evaluate', { expression: '1' }, leave))`,
  IN_USE('post'),
)
test(
  'a session of promises is not disconnected either',
  prints,
  `await check((session) => () => { session.post('Runtime.evaluate', { expression: 'leave()' }) }, promises.Session)`,
  IN_USE('post'),
)
test(
  'a session is not disconnected while a greenlet is suspended in a listener of a notification',
  prints,
  `await check((session) => () => {
    session.once('Runtime.consoleAPICalled', leave)
    session.post('Runtime.enable')
    console.context('quiet').debug('')
  })`,
  IN_USE('emit'),
)

test(
  'a greenlet may disconnect a session in a callback of post(), as in plain Node.js, if no other is inside of it',
  prints,
  `
  const session = new inspector.Session()
  session.connect()
  new Greenlet(() => session.post('Runtime.evaluate', { expression: '1' }, () => console.log(error(() => session.disconnect())))).switch()
  session.connect()
  const g = new Greenlet(() => session.post('Runtime.evaluate', { expression: 'leave()' }), { name: 'inside' })
  g.switch()
  const refused = () => session.post('Runtime.evaluate', { expression: '1' }, () => console.log(error(() => session.disconnect()).slice(0, 19)))
  new Greenlet(refused).switch()
  g.switch()
  console.log(error(() => session.disconnect()))`,
  'none\nERR_GREENLET_IN_USE\nnone\n',
)
