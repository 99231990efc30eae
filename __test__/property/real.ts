/** Runs a program on real greenlets, under real frames of V8. */

import { Greenlet, GreenletExit, type FrameStack, settrace, type TraceFunction } from '../../js/index.ts'
import {
  type Block,
  type Body,
  type Instruction,
  MOST_GREENLETS,
  type Program,
  type Thrown,
  type Via,
} from './program.ts'
import { type Completion, Recorder } from './recorder.ts'

export function runReal(program: Program): string[] {
  return new World(program).run()
}

/** The same with a trace function, which must not change the result and must see every change of the current greenlet. */
export function runTraced(program: Program): string[] {
  const breaks: string[] = []
  let last = Greenlet.main
  return traced(
    (event, { origin, target }) => {
      if (origin !== last || target !== Greenlet.current) breaks.push(`${event} from ${origin} to ${target}`)
      last = target
    },
    () => [...runReal(program), ...breaks],
  )
}

/** The same with a line for every call of a trace function. */
export function runTracing(program: Program): string[] {
  const world = new World(program)
  return traced(world.trace, () => world.run())
}

function traced<T>(fn: TraceFunction, run: () => T): T {
  settrace(fn)
  try {
    return run()
  } finally {
    settrace(null)
  }
}

class World {
  readonly #program: Program
  readonly #greenlets: Greenlet[] = [Greenlet.main]
  readonly #snapshots: FrameStack[] = []
  readonly #errors: Record<Exclude<Thrown, null>, Error>
  readonly #recorder = new Recorder((value) => this.#label(value as Error))
  /** Set after the last line was recorded: greenlets that still run skip the rest of their blocks. */
  #over = false

  constructor(program: Program) {
    this.#program = program
    const [e0, e1, e2, e3] = [new Error('e0'), new Error('e1'), new Error('e2'), new Error('e3')]
    this.#errors = { e0, e1, e2, e3, x0: new GreenletExit('x0'), x1: new GreenletExit('x1') }
  }

  run(): string[] {
    try {
      this.#runBody(this.#program.bodies[0]!)
    } catch (error) {
      if (error instanceof Error && this.#label(error) === '') throw error
    }
    this.#over = true
    for (const greenlet of this.#greenlets.slice(1)) greenlet.kill()
    return this.#recorder.lines
  }

  readonly trace: TraceFunction = (event, { origin, target }) => {
    this.#record(this.#number(target), `is traced: ${event} from g${this.#number(origin)}`)
  }

  /** The name of an error in the recorded lines; empty for an error that is not the program's. */
  #label(error: Error): string {
    const named = Object.entries(this.#errors).find(([, value]) => value === error)
    return named?.[0] ?? (error as { code?: string }).code ?? ''
  }

  #runBody(block: Block, args?: readonly unknown[]): unknown {
    const me = this.#number(Greenlet.current)
    if (args !== undefined) this.#record(me, `starts with (${args.map((arg) => this.#recorder.name(arg)).join(', ')})`)
    try {
      const value = this.#perform(me, block)?.value
      this.#record(me, `returns ${this.#recorder.name(value)}`)
      return value
    } catch (error) {
      this.#record(me, `ends by ${this.#recorder.name(error)}`)
      throw error
    }
  }

  #perform(me: number, block: Block): Completion | undefined {
    for (const instruction of block) {
      if (this.#over) break
      this.#recordState(me)
      const completion = this.#step(me, instruction)
      if (completion !== undefined) return completion
    }
    return undefined
  }

  #step(me: number, it: Instruction): Completion | undefined {
    const greenlet = (number: number): Greenlet => this.#greenlets[number % this.#greenlets.length]!
    switch (it.op) {
      case 'create':
        if (this.#greenlets.length === MOST_GREENLETS) break
        this.#greenlets.push(
          new Greenlet(this.#runOf(it.body), it.parent === null ? {} : { parent: greenlet(it.parent) }),
        )
        break
      case 'switch':
        this.#record(me, `got ${this.#recorder.name(greenlet(it.to).switch(...it.values))}`)
        break
      case 'throw': {
        const got = it.what === null ? greenlet(it.to).throw() : greenlet(it.to).throw(this.#errors[it.what])
        this.#record(me, `got ${this.#recorder.name(got)}`)
        break
      }
      case 'kill':
        greenlet(it.to).kill()
        this.#record(me, 'killed it')
        break
      case 'reparent':
        greenlet(it.greenlet).parent = greenlet(it.parent)
        break
      case 'setRun':
        greenlet(it.greenlet).run = this.#runOf(it.body) as () => unknown
        break
      case 'look': {
        const { dead, started, gr_stack: stack } = greenlet(it.greenlet)
        if (stack.length > 0) this.#snapshots.push(stack)
        const names = stack
          .map((frame) => frame.functionName ?? '')
          .filter((name) => /^(?:body|in[A-Z]\w+)$/.test(name))
        const rest = Greenlet.all().filter((other) => this.#greenlets.includes(other))
        this.#record(me, `sees ${dead} ${started} [${names}] of ${rest.map((other) => this.#number(other))}`)
        break
      }
      case 'call': {
        let completion: Completion | undefined
        CALLS[it.via](() => {
          completion = this.#perform(me, it.block)
          return 0
        })
        return completion
      }
      case 'try':
        return this.#try(me, it)
      case 'return':
        return { value: it.value }
      case 'raise':
        throw it.what === null ? new GreenletExit() : this.#errors[it.what]
    }
    return undefined
  }

  #try(me: number, it: Instruction & { op: 'try' }): Completion | undefined {
    try {
      return this.#perform(me, it.block)
    } catch (error) {
      if (it.catch === null) throw error
      this.#record(me, `caught ${this.#recorder.name(error)}`)
      return this.#perform(me, it.catch)
    } finally {
      const completion = it.finally === null ? undefined : this.#perform(me, it.finally)
      // oxlint-disable-next-line no-unsafe-finally -- the generated programs may do that
      if (completion !== undefined) return completion
    }
  }

  #runOf(body: Body): (() => unknown) | null {
    if (body === null) return null
    const others = this.#program.bodies.slice(1)
    const block = others[body % others.length]!
    const live = (args: unknown[]): unknown => this.#runBody(block, args)
    return function body(...args: unknown[]) {
      return live(args)
    }
  }

  #recordState(me: number): void {
    const states = this.#greenlets.map((it) => `${it.state}<${it.parent === null ? '' : this.#number(it.parent)}`)
    const valid = this.#snapshots.map((snapshot) => Number(snapshot.valid)).join('')
    this.#record(me, `now ${this.#number(Greenlet.current)} ${states.join(' ')} ${valid}`)
  }

  #number(greenlet: Greenlet): number {
    return this.#greenlets.indexOf(greenlet)
  }

  #record(me: number, what: string): void {
    if (!this.#over) this.#recorder.record(me, what)
  }
}

/** Each function calls `go` once, under frames of one kind. They have names, because snapshots are read by name. */
const CALLS: Record<Via, (go: () => number) => void> = {
  inFunction: function inFunction(go) {
    go()
  },
  inMap: function inMap(go) {
    ;[0].map(go)
  },
  inGetter: function inGetter(go) {
    void {
      get it() {
        return go()
      },
    }.it
  },
  inReviver: function inReviver(go) {
    JSON.parse('0', go)
  },
  inToJson: function inToJson(go) {
    JSON.stringify({ toJSON: go })
  },
  inSort: function inSort(go) {
    ;[2, 1].sort(go)
  },
  inReplacer: function inReplacer(go) {
    'x'.replace(/x/, () => String(go()))
  },
  inProxy: function inProxy(go) {
    void new Proxy({ it: 0 }, { get: go }).it
  },
  inGenerator: function inGenerator(go) {
    for (const _ of (function* () {
      yield go()
    })());
  },
  inConstructor: function inConstructor(go) {
    void new (class {
      it = go()
    })()
  },
  inIterator: function inIterator(go) {
    Array.from({ [Symbol.iterator]: () => ({ next: () => ({ done: true, value: go() }) }) })
  },
  inPrimitive: function inPrimitive(go) {
    void `${{ [Symbol.toPrimitive]: go } as unknown as string}`
  },
}
