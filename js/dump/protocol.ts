/**
 * Asks threads for their dumps by the protocol of Node's inspector, also a thread that does not turn its event loop: it is
 * stopped for a moment then. The program in it needs no code for that.
 *
 *     Runtime.evaluate ──► answer, the global object: Runtime.getProperties, Runtime.callFunctionOn ──► the dump
 *       └─no answer: Debugger.enable, Debugger.pause ──► paused: the same, Debugger.resume
 *                      └─no answer: the thread is in native code
 */

import type { DumpData, ThreadData } from './data.ts'
import { emptyThread, type Extent } from './extent.ts'
import { jsonOf } from './json.ts'
import { clean } from './safe.ts'

/** A session of the inspector with one thread. */
export interface Channel {
  /** Sends a message. The promise is rejected where it fails, and stays pending where no answer comes. */
  ask(method: string, params?: object): Promise<unknown>
  /** Is told of each notification. */
  onEvent: ((method: string, params: unknown) => void) | undefined
}

/** What {@link askThread} has found. */
export interface Answer {
  readonly thread: ThreadData
  /** The rest of the dump that the thread has made; undefined where it made none. */
  readonly dump?: DumpData
  /** Why there is none. */
  readonly reason?: 'unused' | 'old' | 'silent' | 'failed'
}

/** What the thread gives. */
interface Result {
  readonly json?: string
  readonly old?: string
}

/** An object of the thread, as the protocol names it. */
interface Remote {
  readonly value?: unknown
  readonly objectId?: string
}

interface Evaluated {
  readonly result?: Remote
  readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } }
}

/** What the called code is called, so that the dump can tell it from what ran. */
const ASKER = 'greenlets-dump'
/** The name of what the inspector keeps alive for a dump. */
const GROUP = 'greenlets-dump'
/** The list of the package's copies, on the global object of Node's own realm (native/copies.ts). */
const COPIES = 'Symbol(greenlets.copies)'

/** Is called on the list of copies. The program may have replaced each global, so it uses none. */
const calledFor = (extent: Extent): string => `function () {
  let copy = this[0]
  if (copy === undefined) return {}
  for (let i = 0; i < this.length; i++) {
    if (!this[i].attached) continue
    copy = this[i]
    break
  }
  if (typeof copy.api.dumpJSON !== 'function') return { old: copy.version }
  return { json: copy.api.dumpJSON(${jsonOf({ ...extent, asker: ASKER })}) }
}
//# sourceURL=${ASKER}
`

/**
 * The dump of a thread. Never rejects.
 *
 * @param patience how many milliseconds each step may take
 */
export async function askThread(
  channel: Channel,
  id: number,
  title: string | undefined,
  extent: Extent,
  patience: number,
): Promise<Answer> {
  try {
    const global = await first(globalOf(channel), patience)
    if (global !== SILENT) return answerOf(await first(dumpBy(channel, global, extent), 20 * patience), id, title)
    return await askHanging(channel, id, title, extent, patience)
  } catch (error) {
    return without('failed', id, title, `its dump failed: ${clean(String((error as Error)?.message ?? error), 1000)}`)
  }
}

const SILENT = Symbol('silent')

/** The result, or SILENT after that time. */
async function first<T>(promise: Promise<T>, ms: number): Promise<T | typeof SILENT> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<typeof SILENT>((resolve) => (timer = setTimeout(resolve, ms, SILENT)))
  // An answer that comes too late may be an error.
  promise.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The global object of the thread. No name is looked up, so this gives it whatever the program has replaced. */
async function globalOf(channel: Channel): Promise<Remote> {
  const answer = await channel.ask('Runtime.evaluate', { expression: 'this', objectGroup: GROUP, silent: true })
  return resultOf(answer as Evaluated)
}

/** Finds the package by the list of its copies, and lets it make the dump. */
async function dumpBy(channel: Channel, { objectId }: Remote, extent: Extent): Promise<unknown> {
  try {
    const { result } = (await channel.ask('Runtime.getProperties', { objectId, ownProperties: true })) as {
      readonly result: readonly { readonly name: string; readonly symbol?: object; readonly value?: Remote }[]
    }
    const copies = result.find(({ name, symbol }) => name === COPIES && symbol !== undefined)?.value
    if (copies?.objectId === undefined) return {}
    const answer = await channel.ask('Runtime.callFunctionOn', {
      objectId: copies.objectId,
      functionDeclaration: calledFor(extent),
      returnByValue: true,
      silent: true,
    })
    return resultOf(answer as Evaluated).value
  } finally {
    void channel.ask('Runtime.releaseObjectGroup', { objectGroup: GROUP }).catch(() => {})
  }
}

/** @throws Error with the thread's own text, where the evaluated code has thrown */
export function resultOf({ result = {}, exceptionDetails }: Evaluated): Remote {
  if (exceptionDetails === undefined) return result
  throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
}

/** Stops a thread that does not turn its event loop, reads, and lets it go on. */
async function askHanging(
  channel: Channel,
  id: number,
  title: string | undefined,
  extent: Extent,
  patience: number,
): Promise<Answer> {
  let isOurs = false
  let notePaused: (() => void) | undefined
  const paused = new Promise<void>((resolve) => (notePaused = resolve))
  let wasPaused = false
  const before = channel.onEvent
  channel.onEvent = (method, params) => {
    if (method !== 'Debugger.paused') return before?.(method, params)
    wasPaused = true
    notePaused!()
  }
  try {
    if ((await first(channel.ask('Debugger.enable'), patience)) === SILENT) return silent(id, title)
    // Where another debugger has stopped it, it stays stopped.
    isOurs = !wasPaused
    if (isOurs) void channel.ask('Debugger.pause').catch(() => {})
    if ((await first(paused, patience)) === SILENT) return silent(id, title)
    const dumped = globalOf(channel).then((global) => dumpBy(channel, global, extent))
    return answerOf(await first(dumped, 20 * patience), id, title)
  } finally {
    channel.onEvent = before
    if (isOurs && wasPaused) void channel.ask('Debugger.resume').catch(() => {})
    const disabled = channel.ask('Debugger.disable')
    // A thread in native code does not answer this either.
    await first(disabled, wasPaused ? patience : 0)
  }
}

function answerOf(result: unknown, id: number, title: string | undefined): Answer {
  if (result === SILENT) return silent(id, title)
  const { json, old } = (result ?? {}) as Result
  if (old !== undefined) {
    return without('old', id, title, `its version ${clean(old)} of greenlets is too old to make dumps; update it`)
  }
  if (json === undefined) return without('unused', id, title, 'it does not use greenlets')
  const dump = JSON.parse(json) as DumpData
  const [thread] = dump.threads
  return { thread: title === undefined ? thread! : { ...thread!, title }, dump }
}

function silent(id: number, title: string | undefined): Answer {
  return without('silent', id, title, 'it does not answer; probably it is in native code, such as execSync()')
}

function without(reason: Answer['reason'] & string, id: number, title: string | undefined, problem: string): Answer {
  return { thread: emptyThread(id, problem, title), reason }
}

/** A Worker, as the main thread knows it. */
export interface FoundWorker {
  readonly id: number
  readonly title: string | undefined
  readonly channel: Channel
}

/** Finds all Workers of a process, by a channel to its main thread. */
export async function findWorkers(root: Channel, patience: number): Promise<FoundWorker[]> {
  const found = new Map<string, { worker: FoundWorker; answers: Map<number, Settlers> }>()
  const before = root.onEvent
  root.onEvent = (method, params) => {
    if (method === 'NodeWorker.attachedToWorker') {
      const { sessionId, workerInfo } = params as { sessionId: string; workerInfo: { title: string } }
      const answers = new Map<number, Settlers>()
      found.set(sessionId, { worker: workerOf(root, sessionId, workerInfo.title, answers), answers })
    } else if (method === 'NodeWorker.receivedMessageFromWorker') {
      const { sessionId, message } = params as { sessionId: string; message: string }
      const known = found.get(sessionId)
      if (known !== undefined) receive(known.worker.channel, known.answers, message)
    } else before?.(method, params)
  }
  const answer = await first(root.ask('NodeWorker.enable', { waitForDebuggerOnStart: false }), patience)
  return answer === SILENT ? [] : [...found.values()].map(({ worker }) => worker)
}

export interface Settlers {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** Takes a message of the inspector: an answer or a notification. */
export function receive(channel: Channel, answers: Map<number, Settlers>, message: string): void {
  const { id, result, error, method, params } = JSON.parse(message) as {
    id?: number
    result?: unknown
    error?: { message: string }
    method: string
    params: unknown
  }
  if (id === undefined) {
    channel.onEvent?.(method, params)
    return
  }
  const settlers = answers.get(id)
  answers.delete(id)
  if (error === undefined) settlers?.resolve(result)
  else settlers?.reject(new Error(error.message))
}

/** @param title `[worker 1] name` */
function workerOf(root: Channel, sessionId: string, title: string, answers: Map<number, Settlers>): FoundWorker {
  const [, id = '-1', name = ''] = /(\d+)\]?(?:\s+(.*))?$/s.exec(title) ?? []
  let last = 0
  const channel: Channel = {
    onEvent: undefined,
    ask(method, params = {}) {
      return new Promise((resolve, reject) => {
        const message = jsonOf({ id: ++last, method, params })
        answers.set(last, { resolve, reject })
        root.ask('NodeWorker.sendMessageToWorker', { sessionId, message }).catch(reject)
      })
    },
  }
  return { id: Number(id), title: name === '' || /^WorkerThread$/i.test(name) ? undefined : clean(name), channel }
}
