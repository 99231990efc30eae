// What the compiler must say about the public types: a line below `@ts-expect-error` must be an error, every other line must not. It
// is compiled against the built declarations by each compiler of scripts/stages/types.ts, and is not run.

import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import {
  bind,
  blocking,
  configure,
  describe,
  type DetachedFrame,
  type Frame,
  type FrameStack,
  Greenlet,
  GreenletError,
  type GreenletErrorCode,
  GreenletExit,
  type GreenletState,
  gettrace,
  type OriginalPosition,
  type RuntimeInfo,
  runtimeInfo,
  settrace,
  sleep,
  type Spawn,
  spawn,
  type SpawnedGreenlet,
  type SpawnOptions,
  type SleepOptions,
  StaleFrameError,
  TimeoutError,
  type TraceFunction,
  UnsupportedRuntimeError,
  version,
  wait,
  type WaitLimits,
  type WaitOptions,
} from 'greenlets'
import { bind as bindInExpress, greenlets, type Middleware } from 'greenlets/express'
import { greenlets as inHttp } from 'greenlets/http'
import {
  type GreenletMatchers,
  matchers,
  noGreenletsLeft,
  parkedAt,
  settle,
  stackText,
  untilParked,
} from 'greenlets/testing'
import { exclusive, group, iterate, joinAll, Local, Pool, Queue, retry, timeout, waitAny } from 'greenlets/tools'

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(holds: Same<A, B>): void

// switch() and throw() return unknown unless the program says what comes.
const g = new Greenlet((a: number, b: string) => a + b.length, { name: 'job', parent: null })
const came = g.switch(1, 'x')
same<typeof came, unknown>(true)
// @ts-expect-error: what comes is unknown, and an annotation is no cast
const annotated: number = g.switch()
// @ts-expect-error: so is a parameter
Math.abs(g.switch())
// @ts-expect-error: so is a return value
export const returned = (): string => g.throw(new Error())
const said = g.switch<number>(annotated)
same<typeof said, number>(true)
same<string, ReturnType<typeof g.throw<string>>>(true)
export const cast = g.switch() as string
// @ts-expect-error: run is a function
new Greenlet('job')
same<Greenlet['state'], GreenletState>(true)
// @ts-expect-error: not a state
export const sleeping = g.state === 'sleeping'
// @ts-expect-error: dead is read only
g.dead = true
g.parent = Greenlet.main
export const parent: Greenlet | null = g.parent
// kill() returns nothing
same<ReturnType<Greenlet['kill']>, void>(true)
same<Greenlet['ended'], Promise<void>>(true)
export const problems: unknown[] = await Greenlet.killAll({ grace: 100 })
// @ts-expect-error: not an option
await Greenlet.killAll({ graze: 100 })

export class Worker extends Greenlet {
  override run(amount: number): number {
    return amount + this.switch<number>()
  }
}

// What spawn() gives is a promise of the function's result, and a greenlet.
const added = spawn((a: number, b: number) => a + b, 1, 2)
same<typeof added, SpawnedGreenlet<number>>(true)
// @ts-expect-error: the arguments are those of the function
spawn((a: number) => a, 'one')
// @ts-expect-error: and there must be enough of them
spawn((a: number) => a)
export const asGreenlet: Greenlet = added
export const asPromise: Promise<number> = added
export const plain: Promise<number> = added.promise
export const caught: Promise<number | string> = added.catch((error) => String(error))
export const compared: Promise<boolean> = added.then((sum) => sum > 2)
export const lastly: Promise<number> = added.finally(() => {})
export const fromAsync: SpawnedGreenlet<string> = spawn(async () => 'x')
export async function results(): Promise<void> {
  same<Awaited<typeof added>, number>(true)
  const all = await Promise.all([added, fromAsync])
  same<typeof all, [number, string]>(true)
  // @ts-expect-error: a killed greenlet rejects, so the result is never a GreenletExit
  same<Awaited<typeof added>, number | GreenletExit>(true)
}
same<ReturnType<typeof added.join>, number>(true)

// spawn.with() is typed as spawn().
const options: SpawnOptions = { name: 'sum', context: null, signal: undefined }
const summed = spawn.with(options, (a: number, b: string) => a + b.length, 1, 'x')
same<typeof summed, SpawnedGreenlet<number>>(true)
export const fromAsyncWith: SpawnedGreenlet<string> = spawn.with({}, async () => 'x')
// @ts-expect-error: the arguments are those of the function
spawn.with({}, (a: number) => a, 'one')
// @ts-expect-error: no such option
spawn.with({ nme: 'x' }, () => {})
export const spawner: Spawn = spawn

// blocking() and bind() keep this and the arguments.
class Orders {
  count = 1
  total(this: Orders, price: number): string {
    return String(this.count * price)
  }
}
const total = blocking(Orders.prototype.total)
same<typeof total, (this: Orders, price: number) => Promise<string>>(true)
export const promised: Promise<number> = blocking(async () => 5)()
// @ts-expect-error: this is missing
total(5)
// @ts-expect-error: the argument is a number
total.call(new Orders(), '5')
const totalNow = bind(Orders.prototype.total)
same<typeof totalNow, (this: Orders, price: number) => string | undefined>(true)
// @ts-expect-error: not a function
bind('x')
const resolver: (parent: unknown, args: { id: string }) => Promise<number> = blocking((_, { id }) => id.length)
export const listener: (...args: unknown[]) => void = bind(() => {})
void resolver

// wait() returns what await would.
const waited = wait(Promise.resolve(1))
same<typeof waited, number>(true)
same<string, ReturnType<typeof wait<SpawnedGreenlet<string>>>>(true)
export const notAPromise: 5 = wait(5 as const)
sleep(10, { signal: new AbortController().signal })
// @ts-expect-error: milliseconds are a number
sleep('10')

// The options of a wait. `abandoned` gets what the wait would return.
const limits: WaitLimits = { timeout: 10, signal: undefined }
wait(Promise.resolve('x'), {
  ...limits,
  abandoned: (value) => {
    same<typeof value, string>(true)
  },
})
// @ts-expect-error: not the value of the promise
wait(Promise.resolve('x'), { abandoned: (value: number) => value })
// @ts-expect-error: no such option
wait(Promise.resolve('x'), { timout: 10 })
added.join(limits)
// @ts-expect-error: join() has no abandoned
added.join({ abandoned: () => {} })
// @ts-expect-error: map() passes an index
;[Promise.resolve(1)].map(wait)
export const waitOptions: WaitOptions<number> = { abandoned: (value) => value.toFixed() }
export const sleepOptions: SleepOptions = { signal: AbortSignal.timeout(5) }
same<ReturnType<Greenlet['interrupt']>, boolean>(true)
g.interrupt('any value')

// Codes are literals.
export function handle(error: unknown): number {
  if (error instanceof StaleFrameError) same<typeof error.code, 'ERR_GREENLET_STALE_FRAME'>(true)
  if (error instanceof UnsupportedRuntimeError) same<typeof error.code, 'ERR_GREENLET_UNSUPPORTED_RUNTIME'>(true)
  if (error instanceof TimeoutError) same<typeof error.code, 'ERR_GREENLET_TIMEOUT'>(true)
  if (error instanceof GreenletExit) same<typeof error.code, 'ERR_GREENLET_EXIT'>(true)
  if (!(error instanceof GreenletError)) throw error
  same<typeof error.code, GreenletErrorCode>(true)
  // @ts-expect-error: no such code
  if (error.code === 'ERR_GREENLET_KILED') return 0
  switch (error.code) {
    case 'ERR_GREENLET_KILLED':
      return 499
    case 'ERR_GREENLET_LIMIT':
    case 'ERR_GREENLET_NO_MEMORY':
    case 'ERR_GREENLET_NO_SLOT':
      return 503
    default:
      return 500
  }
}
export const anError: Error = new GreenletExit('enough', { cause: 1 })

// Stacks and frames.
const frame: Frame | null = g.gr_frame
export const stack: FrameStack = g.gr_stack
export const names: (string | null)[] = g.gr_stack.map(({ functionName }) => functionName)
export const kept: readonly DetachedFrame[] = g.gr_stack.detach()
// @ts-expect-error: frames cannot be changed
if (frame) frame.lineNumber = 1
// @ts-expect-error: nor can stacks
g.gr_stack.push(frame)

// The rest.
const trace: TraceFunction = (event, { origin, target }) => {
  same<typeof event, 'switch' | 'throw'>(true)
  same<typeof origin, Greenlet>(true)
  target.name satisfies string
}
export const before: TraceFunction | null = settrace(trace)
export const now: TraceFunction | null = gettrace()
configure({ slots: 8, memory: undefined })
// @ts-expect-error: no such setting
configure({ slot: 8 })
const info: RuntimeInfo = runtimeInfo()
export const reason: string | undefined = info.reason
export const text: string = version
export const middleware: Middleware = greenlets()

// The adapters check their options, and know their requests.
// @ts-expect-error: not an option
greenlets({ timeouts: 3 })
same<typeof middleware.living, Set<Greenlet>>(true)
same<ReturnType<typeof middleware.close>, Promise<void>>(true)
export const finished: (event: string) => number | undefined = bindInExpress((event: string) => event.length)
createServer(
  inHttp((req, res) => res.end(req.greenlet.name + req.url), {
    onError: (error, req, res) => res.end(`${error} ${req.url}`),
  }),
)
createSecureServer(inHttp((req, res) => res.end(req.greenlet.name + req.stream.id)))
// @ts-expect-error: a listener is needed
inHttp({ timeout: 3 })

// The tools pass the types of the program's functions on, and of their promises the values.
export function tools(): void {
  const inTime = timeout(5, async () => 1)
  same<typeof inTime, number>(true)
  const either = timeout(
    5,
    () => 1,
    (error) => error.code,
  )
  same<typeof either, number | 'ERR_GREENLET_TIMEOUT'>(true)
  const both = joinAll([spawn(() => 1), Promise.resolve('a')])
  same<typeof both, [number, string]>(true)
  const many = joinAll(new Set([spawn(() => 1)]))
  same<typeof many, number[]>(true)
  const first = waitAny([Promise.resolve(1)])
  same<typeof first, Promise<number>>(true)
  const lengths = new Pool(2).map(['a'], async (word, index) => word.length + index)
  same<typeof lengths, number[]>(true)
  const inGroup = group((children) => children.spawn((n: number) => n, 1))
  same<typeof inGroup, number>(true)
  const queue = new Queue<string>()
  for (const item of queue) same<typeof item, string>(true)
  // @ts-expect-error: an item of another type
  queue.offer(1)
  for (const item of iterate([Promise.resolve(1)])) same<typeof item, number>(true)
  const library = exclusive({ parse: (text: string) => text.length })
  same<ReturnType<typeof library.parse>, number>(true)
  same<ReturnType<Local<number>['get']>, number>(true)
  // @ts-expect-error: without a first value, get() may give undefined
  new Local<number>()
  new Local<number | undefined>()
  same<typeof retried, string>(true)
  // @ts-expect-error: no such option
  retry(() => 1, { tries: 2 })
}
const retried = retry(async (attempt: number) => String(attempt))

export async function inTests(g: Greenlet): Promise<void> {
  const described = describe(g)
  same<typeof described, string>(true)
  const original = g.gr_stack[0]?.original ?? g.gr_stack.detach()[0]?.original ?? null
  same<typeof original, OriginalPosition | null>(true)
  const error: Error = g.gr_stack.toError('still there')
  same<typeof error.message, string>(true)
  const isParked = parkedAt(g, ['acquire', /^with/], { gaps: false })
  same<typeof isParked, boolean>(true)
  // @ts-expect-error: no name
  parkedAt(g, [1])
  // @ts-expect-error: no such option
  stackText(g, { line: false })
  await untilParked(g, { at: ['acquire'], timeout: 1000 })
  const parked = await settle()
  same<typeof parked, Greenlet[]>(true)
  // A hook without parameters: runners call those that have one with a callback.
  const hook: () => Promise<void> = noGreenletsLeft
  await hook()
  const found = matchers.toBeParkedAt(g, ['acquire'])
  same<typeof found.pass, boolean>(true)
  const expected = {} as GreenletMatchers<void>
  same<ReturnType<typeof expected.toBeParkedAt>, void>(true)
}
