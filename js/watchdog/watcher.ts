/**
 * The program of the thread that watches: it sees that the beats of another thread have stopped, stops that thread for a
 * moment by Node's inspector, reads its stack, and lets it go on.
 *
 *     blocked for `after` ms ──Debugger.enable──► answer ──Debugger.pause──► paused: frames, name, resume, disable
 *                                  └─no answer: the thread is in native code
 *
 * The debugger is on only meanwhile. A thread that a real debugger has stopped is left alone: V8 tells that it is paused
 * before it answers `Debugger.enable`.
 */

import type { BlockedStack, Paused, Sample, WatchedFrame, WatcherData } from './protocol.ts'

/**
 * Runs in the watching thread. That thread gets the text of this function (`watchdog.ts`), because in a bundle there is no
 * file that a Worker could load. So this function uses nothing from outside of it but types and globals. Nor does it use what
 * compilers to ES2015 replace by calls of helpers: async functions, and rest or spread properties.
 */
export function runWatcher(data: WatcherData): void {
  const { beats, port, after, interval, print, threadId, isMainThread, home, question } = data
  const { Session } = process.getBuiltinModule('node:inspector')
  const { writeSync } = process.getBuiltinModule('node:fs')
  const { fileURLToPath } = process.getBuiltinModule('node:url')

  /** How long, in milliseconds, a thread that runs JavaScript may take to answer. */
  const PATIENCE = Math.max(after, 500)
  const MOST_PRINTED = 30

  type Answer = (error: unknown, result?: object) => void
  interface CallFrame {
    readonly functionName: string
    readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number }
  }
  interface Notification {
    readonly method: string
    readonly params: unknown
  }

  const session = new Session()
  /** Sends a message to the watched thread's inspector; undefined until there is a way to it. */
  let send: ((method: string, params: object, answer: Answer) => void) | undefined

  session.connectToMainThread()
  if (isMainThread) {
    send = (method, params, answer) => session.post(method, params, answer)
    session.on('inspectorNotification', (message) => heard(message as Notification))
  } else {
    findWorker()
  }

  /** The main thread passes messages on to its Workers, and to theirs. */
  function findWorker(): void {
    const answers = new Map<number, Answer>()
    let last = 0
    let place: string | undefined
    session.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }) => {
      if (/^\[worker (\d+)\]/.exec(workerInfo.title)?.[1] !== String(threadId)) {
        session.post('NodeWorker.detach', { sessionId })
        return
      }
      place = sessionId
      send = (method, params, answer) => {
        answers.set(++last, answer)
        const message = JSON.stringify({ id: last, method, params })
        session.post('NodeWorker.sendMessageToWorker', { sessionId, message }, (error) => {
          if (error !== null) answer(error)
        })
      }
    })
    session.on('NodeWorker.receivedMessageFromWorker', ({ params: { sessionId, message } }) => {
      if (sessionId !== place) return
      const received = JSON.parse(message) as Notification & { id?: number; error?: unknown; result?: object }
      if (received.id === undefined) return heard(received)
      const answer = answers.get(received.id)
      answers.delete(received.id)
      answer?.(received.error ?? null, received.result)
    })
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false })
  }

  /** Calls this when the thread is paused, or, without frames, when its event loop has turned. */
  let onPause: ((frames?: readonly CallFrame[]) => void) | undefined
  /** Whether the thread was paused when nothing here had asked for it. */
  let pausedByOther = false
  /** From the ids of scripts to their URLs; told after each `Debugger.enable`. */
  const urls = new Map<string, string>()

  function heard({ method, params }: Notification): void {
    if (method === 'Debugger.scriptParsed') {
      const { scriptId, url } = params as { scriptId: string; url: string }
      urls.set(scriptId, url)
    }
    if (method !== 'Debugger.paused') return
    if (onPause === undefined) pausedByOther = true
    else onPause((params as { callFrames: readonly CallFrame[] }).callFrames)
  }

  /** The result of a message; undefined where it failed. */
  const ask = (method: string, params: object = {}): Promise<object | undefined> =>
    new Promise((resolve) => send!(method, params, (_, result) => resolve(result)))

  /** The beat since which the thread may be blocked. */
  let beat = Atomics.load(beats, 0)
  /** After how many milliseconds without a beat the stack is read next. */
  let next = after
  let looking = false
  /** Whether the thread has not answered for a while. */
  let silent = false
  let ticked = process.hrtime.bigint()

  const msSince = (moment: bigint): number => Number(process.hrtime.bigint() - moment) / 1e6

  setInterval(() => {
    const late = msSince(ticked) - interval
    ticked = process.hrtime.bigint()
    const found = Atomics.load(beats, 0)
    if (found !== beat) {
      beat = found
      next = after
      onPause?.()
    }
    // The whole process did not run: it was stopped by a signal, or has no processor.
    if (late > after / 2) return
    const ms = msSince(beat)
    if (ms < next || send === undefined) return
    if (!looking) {
      looking = true
      next = ms * 2
      void look(beat).finally(() => (looking = false))
    } else if (silent) {
      next = ms * 2
      tell(beat, null, null)
    }
  }, interval)

  /** Reads the stack of the thread, which has been blocked since `since`. */
  function look(since: bigint): Promise<unknown> {
    pausedByOther = false
    silent = false
    const impatience = setTimeout(() => {
      if (since !== Atomics.load(beats, 0)) return
      silent = true
      next = msSince(since) * 2
      tell(since, null, null)
    }, PATIENCE)
    return ask('Debugger.enable')
      .then(() => (pausedByOther || since !== Atomics.load(beats, 0) ? undefined : pause()))
      .then((callFrames) => {
        clearTimeout(impatience)
        silent = false
        if (callFrames === undefined) return undefined
        return nameRunning().then((greenlet) => {
          tell(since, greenlet, framesOf(callFrames))
          void ask('Debugger.resume')
        })
      })
      .then(() => ask('Debugger.disable'))
      .then(() => {
        urls.clear()
        if (pausedByOther) port.postMessage({ beat: since } satisfies Paused)
      })
  }

  function pause(): Promise<readonly CallFrame[] | undefined> {
    return new Promise<readonly CallFrame[] | undefined>((resolve) => {
      onPause = resolve
      void ask('Debugger.pause')
    }).finally(() => (onPause = undefined))
  }

  function nameRunning(): Promise<BlockedStack['greenlet']> {
    // There is no answer where another debugger has let the thread go on.
    const late = new Promise<void>((resolve) => setTimeout(resolve, PATIENCE))
    return Promise.race([ask('Runtime.evaluate', { expression: question, returnByValue: true }), late]).then(
      (answer) => (answer as { result?: { value?: BlockedStack['greenlet'] } } | void)?.result?.value ?? null,
    )
  }

  function framesOf(callFrames: readonly CallFrame[]): WatchedFrame[] {
    const frames = callFrames.map(({ functionName, location }) => ({
      functionName: functionName || null,
      fileName: pathOf(urls.get(location.scriptId) ?? ''),
      lineNumber: location.lineNumber + 1,
      columnNumber: (location.columnNumber ?? 0) + 1,
    }))
    while (isOwn(frames.at(-1))) frames.pop()
    while (isOwn(frames[0])) frames.shift()
    return frames
  }

  function isOwn(frame: WatchedFrame | undefined): boolean {
    const file = frame?.fileName ?? ''
    if (home === undefined || !file.startsWith(home)) return false
    return !/^(?:cjs\/)?adapters\//.test(file.slice(home.length))
  }

  function pathOf(url: string): string | null {
    try {
      return url.startsWith('file:') ? fileURLToPath(url) : url || null
    } catch {
      return url
    }
  }

  function tell(since: bigint, greenlet: BlockedStack['greenlet'], frames: readonly WatchedFrame[] | null): void {
    const ms = Math.round(msSince(since))
    port.postMessage({ beat: since, ms, greenlet, frames } satisfies Sample)
    if (!print) return
    const thread = isMainThread ? 'the main thread' : `Worker ${threadId}`
    const head = `greenlets watchdog: the event loop of ${thread} has been blocked for ${ms} ms`
    try {
      // Not by process.stderr, which in a Worker goes through the blocked thread.
      writeSync(2, `${head}${frames === null ? silence() : `${byGreenlet(greenlet)}${textOf(frames)}`}\n`)
    } catch {
      // Standard error is closed, or its pipe is full. The report still comes.
    }
  }

  function byGreenlet(greenlet: BlockedStack['greenlet']): string {
    if (greenlet === null) return ''
    return greenlet.serial === 0 ? ', by main' : `, by greenlet '${oneLine(greenlet.name)}'`
  }

  /** As `printable` of common/text.ts, in short: this function has no imports. */
  function oneLine(name: string): string {
    // oxlint-disable-next-line no-control-regex -- escapes of terminals, and what changes the direction of text
    const controls = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g
    return name.slice(0, 100).replaceAll(controls, '?')
  }

  function silence(): string {
    const others = isMainThread ? '' : ', or the main thread, which passes questions on to it, is blocked too'
    return ` and does not answer, probably because it is in native code, such as execSync()${others}`
  }

  function textOf(frames: readonly WatchedFrame[]): string {
    const lines = frames.slice(0, MOST_PRINTED).map(({ functionName, fileName, lineNumber, columnNumber }) => {
      const place = `${fileName ?? '<anonymous>'}:${lineNumber}:${columnNumber}`
      return functionName === null ? `\n    at ${place}` : `\n    at ${functionName} (${place})`
    })
    const more = frames.length - lines.length
    return `:${lines.join('')}${more > 0 ? `\n    ... and ${more} more` : ''}`
  }
}
