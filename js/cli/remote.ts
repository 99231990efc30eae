/** Dumps of another process. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Extent } from '../dump/extent.ts'
import type { DumpData } from '../dump/data.ts'
import { type Answer, askThread, findWorkers, resultOf } from '../dump/protocol.ts'
import { clean } from '../dump/safe.ts'
import { EXIT, Failure } from './failure.ts'
import { messageOf, MOST_LOSSES, type Opened, Target } from './target.ts'
import { connect, type Connection } from './websocket.ts'

/** Where the process is: its id, or the port of its inspector. */
export type Address = { readonly pid: number } | { readonly host: string; readonly port: number }

/** How long the process may take to close its inspector; where it has answered before, and where it has not. */
const CLOSING_MS = 5000
const SILENT_CLOSING_MS = 1000

/**
 * What `closeInspector` of dump/close.ts does, which says why; or that function itself. The program may have replaced each of the ways
 * to it, so there are three. This is one message, because a process that is in native code takes it when it goes on.
 */
const CLOSE = `(() => {
  try {
    const copies = this[Symbol.for('greenlets.copies')]
    for (let i = 0; i < copies.length; i++) {
      if (typeof copies[i].api.closeInspector === 'function') return copies[i].api.closeInspector()
    }
  } catch {}
  const closeBy = (get) => {
    const { close } = get('node:inspector')
    close()
    const closeAgain = () => {
      try {
        close()
      } catch {}
    }
    try {
      const { setImmediate, setTimeout } = get('node:timers')
      setImmediate(() => setImmediate(closeAgain))
      setTimeout(closeAgain, 100).unref()
    } catch {}
  }
  try {
    return closeBy(require)
  } catch {}
  closeBy(process.getBuiltinModule)
})()`

export class Remote {
  #opened: Promise<Opened>
  /** Undefined where only the port is known. */
  readonly #target: Target | undefined
  readonly #patience: number
  #isClosed = false
  #hasAnswered = false

  private constructor(opened: Opened, target: Target | undefined, patience: number) {
    this.#opened = Promise.resolve(opened)
    this.#target = target
    this.#patience = patience
  }

  /**
   * @param patience how many milliseconds each thread may take to answer
   * @param timeout how many milliseconds the inspector may take
   */
  static async open(address: Address, patience: number, timeout: number): Promise<Remote> {
    if ('pid' in address) {
      const target = new Target(address.pid, timeout)
      return new Remote(await target.open(), target, patience)
    }
    const connection = await connect(address.host, address.port, timeout)
    return new Remote({ connection, isOurs: false }, undefined, patience)
  }

  /** The dump of all its threads that use greenlets. */
  async dump(extent: Extent): Promise<DumpData> {
    for (let losses = 0; ; losses++) {
      const { connection } = await this.#opened
      let failure: unknown
      try {
        const dump = await this.#ask(connection, extent)
        if (!connection.hasEnded || dump.threads.every(({ problem }) => problem === undefined)) return dump
        failure = new Failure('ended', 'the process has ended, or has closed its inspector')
      } catch (error) {
        failure = error
      }
      // Another `greenlets ps` closes the inspector when it has looked.
      if (!connection.hasEnded || this.#target === undefined || losses >= MOST_LOSSES || this.#isClosed) throw failure
      this.#opened = this.#target.open()
      await this.#opened.catch((error: unknown) => {
        throw error instanceof Failure && error.code === EXIT.ended ? failure : error
      })
    }
  }

  async #ask(connection: Connection, extent: Extent): Promise<DumpData> {
    const patience = this.#patience
    const asked = askThread(connection, 0, undefined, extent, patience)
    // One after the other: a thread that is stopped for its dump takes no other questions.
    const main = await asked
    this.#hasAnswered = main.reason !== 'silent'
    const workers = main.reason === 'silent' ? [] : await findWorkers(connection, patience)
    const others = await Promise.all(
      workers.map(({ channel, id, title }) => askThread(channel, id, title, extent, patience)),
    )
    // A thread that hangs may not answer.
    void connection.ask('NodeWorker.disable').catch(() => {})
    const answers = [main, ...others.toSorted((a, b) => a.thread.threadId - b.thread.threadId)]
    const dump = answers.find((answer) => answer.dump !== undefined)?.dump
    if (dump === undefined) throw failureOf(answers)
    const known = answers.filter(({ reason }) => reason !== 'unused').map(({ thread }) => thread)
    return { ...dump, threads: known }
  }

  /** Leaves the process as it was. Gives the reason where it could not. */
  async close(): Promise<Failure | undefined> {
    this.#isClosed = true
    const opened = await this.#opened.catch(() => undefined)
    if (opened === undefined) return undefined
    const { connection, isOurs } = opened
    const failure = isOurs && !connection.hasEnded ? await this.#closeInspector(connection) : undefined
    connection.close()
    return failure
  }

  async #closeInspector(connection: Connection): Promise<Failure | undefined> {
    const { port } = connection
    const open = `its inspector, which was opened for the look, is still open on port ${port}`
    // This has the module loader of Node.js as `require`.
    const asked = connection.ask('Runtime.evaluate', { expression: CLOSE, includeCommandLineAPI: true, silent: true })
    // It ends the connection before there is an answer, unless it fails.
    let problem: string | undefined
    const answered = asked.then(
      (answer) => {
        try {
          resultOf(answer as Parameters<typeof resultOf>[0])
          problem = 'inspector.close() had no effect'
        } catch (error) {
          problem = messageOf(error).split('\n', 1)[0]
        }
      },
      () => {},
    )
    const limit = Math.max(this.#hasAnswered ? CLOSING_MS : SILENT_CLOSING_MS, this.#patience)
    await Promise.race([connection.ended, answered, sleep(limit, undefined, { ref: false })])
    if (problem !== undefined)
      await Promise.race([connection.ended, sleep(SILENT_CLOSING_MS, undefined, { ref: false })])
    if (connection.hasEnded) return undefined
    if (problem === undefined) return new Failure('silent', `${open}, until the process goes on`)
    return new Failure('error', `${open}: ${clean(problem, 1000)}; end it in the program, by inspector.close()`)
  }
}

function failureOf(answers: readonly Answer[]): Failure {
  const bad = answers.find(({ reason }) => reason !== 'unused')
  if (bad === undefined) {
    return new Failure('noGreenlets', 'the process does not use greenlets: no thread of it has loaded the package')
  }
  const { reason, thread } = bad
  const kind = reason === 'old' ? 'noGreenlets' : reason === 'silent' ? 'silent' : 'error'
  return new Failure(kind, `there is no dump of the process: ${thread.problem}`)
}
