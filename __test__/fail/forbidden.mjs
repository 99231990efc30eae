// A greenlet is left by a promise job of a vm context, which runs under V8's own loop.

import { createContext, runInContext } from 'node:vm'
import { Greenlet } from '../../js/index.ts'

const leave = () => Greenlet.main.switch()
const context = createContext({ leave }, { microtaskMode: 'afterEvaluate' })
new Greenlet(() =>
  runInContext('Promise.resolve().then(() => leave()).catch((error) => (failed = error))', context),
).switch()
throw context.failed
