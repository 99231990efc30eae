// Compiled to CommonJS by tsc (module node16, and commonjs with node10) and by ts-node.

import { type Frame, Greenlet, type RuntimeInfo, runtimeInfo } from 'greenlets'
import { greenlets, type Middleware } from 'greenlets/express'

const info: RuntimeInfo = runtimeInfo()
if (!info.supported) throw new Error(info.reason)
const middleware: Middleware = greenlets()
const greenlet = new Greenlet(function outer(): string {
  return Greenlet.main.switch(typeof middleware) as string
})
const parked: unknown = greenlet.switch()
const frames: readonly Frame[] = greenlet.gr_stack
if (parked !== 'function' || frames[0]?.functionName !== 'outer') throw new Error(String(frames))
console.log(greenlet.switch('ok'))
