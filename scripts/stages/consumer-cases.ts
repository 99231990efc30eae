// What a case of the stage `consumers` is.

import type { Node } from '../nodes.ts'
import type { Outcome } from '../run.ts'

/** Runs one program after the other. */
export interface Case {
  readonly what: string
  readonly steps: readonly Step[]
  /** Whether the last one ended well; that it says ok, unless given. */
  readonly good?: (outcome: Outcome) => boolean
}

export interface Step {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
  /** Called before it runs. */
  readonly prepare?: () => void
}

export interface Context {
  /** The tools' folder. */
  readonly home: string
  /** A project below it, with greenlets installed and with the programs. */
  readonly project: string
  /** A folder that no tool is above of. */
  readonly scratch: string
  readonly registry: string
  readonly nodes: readonly Node[]
  /** The Node that the tools run on. */
  readonly node: Node
  readonly npm: (cwd: string, ...args: string[]) => Step
  readonly start: (cwd: string, node: Node, ...args: string[]) => Step
}
