/** Why a command has failed, with the exit code for it. */

export const EXIT = {
  /** Something else has gone wrong. */
  error: 1,
  /** The command line is wrong. */
  usage: 2,
  /** There is no such process, or it has ended meanwhile. */
  ended: 3,
  /** The process may not be looked at. */
  forbidden: 4,
  /** It is not a Node.js process. */
  notNode: 5,
  /** It does not use greenlets, or a version that is too old. */
  noGreenlets: 6,
  /** It does not answer. */
  silent: 7,
} as const

export class Failure extends Error {
  readonly code: number

  constructor(kind: keyof typeof EXIT, message: string) {
    super(message)
    this.code = EXIT[kind]
  }

  /** This failure, told after another one, which gives the exit code; this one alone where there was none. */
  after(earlier: unknown): Failure {
    if (earlier === undefined) return this
    const text = earlier instanceof Error ? earlier.message : String(earlier)
    const both = new Failure('error', `${text}; ${this.message}`)
    return earlier instanceof Failure ? Object.assign(both, { code: earlier.code }) : both
  }
}
