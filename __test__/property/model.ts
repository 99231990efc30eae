/**
 * The model: the rules of Python's greenlet, and our own rules for `kill()`, over rows of a table. A body that has started is a
 * generator of requests to send a value or an error to a row. Only {@link Model.run} decides where it arrives, and in what
 * form.
 */

import { type Block, type Body, type Instruction, MOST_GREENLETS, type Program, type Thrown } from './program.ts'
import { type Completion, Recorder } from './recorder.ts'

/** Stands for an error or a GreenletExit. */
class Token {
  readonly label: string
  readonly isExit: boolean

  constructor(label: string) {
    this.label = label
    this.isExit = label.startsWith('x') || label === 'ERR_GREENLET_EXIT'
  }
}

type Payload = { readonly threw: false; readonly value: unknown } | { readonly threw: true; readonly value: Token }
interface Request {
  readonly to: Row
  readonly payload: Payload
  /** The arguments of a start: several arguments stay separate, and do not become an array. */
  readonly args: readonly unknown[]
}
type Running = Generator<Request, unknown, unknown>

class Row {
  readonly number: number
  state: 'unstarted' | 'live' | 'dead' = 'unstarted'
  body: Body
  parent: Row | null
  /** The rows that are in `kill()` of this one. The last of them gets its result, in place of the parent. */
  readonly killers: Row[] = []
  running: Running | undefined
  /** Innermost first. */
  readonly frames: string[] = []
  resumed = 0

  constructor(number: number, parent: Row | null, body: Body) {
    this.number = number
    this.parent = parent
    this.body = body
  }

  get receiver(): Row {
    return this.killers.at(-1) ?? this.parent!
  }
}

export function runModel(program: Program): string[] {
  return new Model(program).run()
}

class Model {
  readonly #program: Program
  readonly #rows: Row[] = [new Row(0, null, null)]
  readonly #snapshots: { readonly row: Row; readonly resumed: number }[] = []
  readonly #tokens = new Map<string, Token>()
  readonly #recorder = new Recorder((value) => (value as Token).label)
  #current = this.#rows[0]!

  constructor(program: Program) {
    this.#program = program
  }

  run(): string[] {
    const main = this.#current
    main.state = 'live'
    main.running = this.#runBody(main, this.#program.bodies[0]!)
    let payload: Payload = { threw: false, value: undefined }
    for (;;) {
      const row = this.#current
      const { request, end } = this.#resume(row, payload)
      if (row === main && end) return this.#recorder.lines
      payload = end ? this.#finish(row, end) : this.#send(request!)
    }
  }

  /** Runs the row until it sends something, or ends. */
  #resume(row: Row, payload: Payload): { request?: Request; end?: Payload } {
    try {
      const { done, value } = payload.threw ? row.running!.throw(payload.value) : row.running!.next(payload.value)
      return done === true ? { end: { threw: false, value } } : { request: value as Request }
    } catch (error) {
      if (!(error instanceof Token)) throw error
      return { end: { threw: true, value: error } }
    }
  }

  /** Sends what a row asked for. If no row can take it, the sender gets the error. */
  #send({ to, payload, args }: Request): Payload {
    try {
      return this.#route(to, payload, args)
    } catch (error) {
      if (!(error instanceof Token)) throw error
      return { threw: true, value: error }
    }
  }

  /** Ends the row and sends its result on. */
  #finish(row: Row, end: Payload): Payload {
    row.state = 'dead'
    const payload = exitAsValue(end)
    return this.#route(row.receiver, payload, payload.threw ? [] : [payload.value], true)
  }

  /**
   * Finds the row that can take the payload, and makes it current. Returns the form in which the payload arrives. If a row has
   * to start and cannot, the sender gets an error; if the sender is dead (`passedOn`), the next parent gets it.
   */
  #route(to: Row, payload: Payload, args: readonly unknown[], passedOn = false): Payload {
    for (; ; to = to.parent!) {
      if (to.state === 'unstarted' && to.body === null) {
        payload = { threw: true, value: new Token('ERR_GREENLET_NO_RUN') }
        if (!passedOn) throw payload.value
        continue
      }
      if (to.state === 'unstarted' && !payload.threw) {
        to.state = 'live'
        to.running = this.#runBody(to, this.#block(to.body!), args)
        payload = { threw: false, value: undefined }
      }
      if (to.state === 'live') {
        this.#switchTo(to)
        return payload
      }
      passedOn ||= to.state === 'unstarted'
      to.state = 'dead'
      payload = exitAsValue(payload)
      // From here on it is one value.
      if (!payload.threw && payload.value instanceof Token) args = [payload.value]
    }
  }

  #switchTo(row: Row): void {
    if (row === this.#current) return
    row.resumed++
    this.#current = row
  }

  *#runBody(me: Row, block: Block, args?: readonly unknown[]): Running {
    if (args !== undefined) {
      me.frames.unshift('body')
      this.#recorder.record(me.number, `starts with (${args.map((arg) => this.#recorder.name(arg)).join(', ')})`)
    }
    try {
      const value = (yield* this.#perform(me, block))?.value
      this.#recorder.record(me.number, `returns ${this.#recorder.name(value)}`)
      return value
    } catch (error) {
      this.#recorder.record(me.number, `ends by ${this.#recorder.name(error)}`)
      throw error
    }
  }

  *#perform(me: Row, block: Block): Generator<Request, Completion | undefined, unknown> {
    for (const instruction of block) {
      this.#recordState(me)
      const completion = yield* this.#step(me, instruction)
      if (completion !== undefined) return completion
    }
    return undefined
  }

  *#step(me: Row, it: Instruction): Generator<Request, Completion | undefined, unknown> {
    const record = (what: string): void => this.#recorder.record(me.number, what)
    switch (it.op) {
      case 'create':
        if (this.#rows.length === MOST_GREENLETS) break
        this.#rows.push(new Row(this.#rows.length, it.parent === null ? me : this.#row(it.parent), it.body))
        break
      case 'switch': {
        const value = it.values.length > 1 ? it.values : it.values[0]
        const got = yield { to: this.#row(it.to), payload: { threw: false, value }, args: it.values }
        record(`got ${this.#recorder.name(got)}`)
        break
      }
      case 'throw': {
        const got = yield { to: this.#row(it.to), payload: { threw: true, value: this.#token(it.what) }, args: [] }
        record(`got ${this.#recorder.name(got)}`)
        break
      }
      case 'kill':
        yield* this.#kill(me, this.#row(it.to))
        record('killed it')
        break
      case 'reparent':
        this.#reparent(this.#row(it.greenlet), this.#row(it.parent))
        break
      case 'setRun': {
        const row = this.#row(it.greenlet)
        if (row.state !== 'unstarted') throw new Token('ERR_GREENLET_STARTED')
        row.body = it.body
        break
      }
      case 'look': {
        const row = this.#row(it.greenlet)
        const { state, frames, resumed } = row
        const seen = row !== this.#current && state === 'live'
        if (seen) this.#snapshots.push({ row, resumed })
        const rest = this.#rows.filter((other) => other.state !== 'dead').map((other) => other.number)
        record(`sees ${state === 'dead'} ${state !== 'unstarted'} [${seen ? frames : ''}] of ${rest}`)
        break
      }
      case 'call':
        me.frames.unshift(it.via)
        try {
          return yield* this.#perform(me, it.block)
        } finally {
          me.frames.shift()
        }
      case 'try':
        return yield* this.#try(me, it)
      case 'return':
        return { value: it.value }
      case 'raise':
        throw this.#token(it.what)
    }
    return undefined
  }

  *#try(me: Row, it: Instruction & { op: 'try' }): Generator<Request, Completion | undefined, unknown> {
    try {
      return yield* this.#perform(me, it.block)
    } catch (error) {
      if (it.catch === null) throw error
      this.#recorder.record(me.number, `caught ${this.#recorder.name(error)}`)
      return yield* this.#perform(me, it.catch)
    } finally {
      const completion = it.finally === null ? undefined : yield* this.#perform(me, it.finally)
      // oxlint-disable-next-line no-unsafe-finally -- the generated programs may do that
      if (completion !== undefined) return completion
    }
  }

  *#kill(me: Row, victim: Row): Generator<Request, void, unknown> {
    if (victim.state === 'dead') return
    if (victim.number === 0) throw new Token('ERR_GREENLET_MAIN')
    if (victim.state === 'unstarted') {
      victim.state = 'dead'
      return
    }
    const exit = this.#token(null)
    if (victim === me) throw exit
    victim.killers.push(me)
    try {
      yield { to: victim, payload: { threw: true, value: exit }, args: [] }
    } finally {
      const at = victim.killers.lastIndexOf(me)
      if (at !== -1) victim.killers.splice(at, 1)
    }
    // Read again, because other rows have run.
    if ((victim.state as string) !== 'dead') throw new Token('ERR_GREENLET_KILL_REFUSED')
  }

  #reparent(child: Row, parent: Row): void {
    if (child.number === 0) throw new Token('ERR_GREENLET_MAIN')
    for (let ancestor: Row | null = parent; ancestor !== null; ancestor = ancestor.parent) {
      if (ancestor === child) throw new Token('ERR_GREENLET_PARENT_CYCLE')
    }
    child.parent = parent
    child.killers.length = 0
  }

  /** Records the current row, the state and the parent of each row, and which snapshots are still valid. */
  #recordState(me: Row): void {
    const states = this.#rows.map((row) => {
      const shown = row === this.#current ? 'running' : row.state === 'live' ? 'suspended' : row.state
      return `${shown}<${row.number === 0 ? '' : row.receiver.number}`
    })
    const valid = this.#snapshots.map(
      ({ row, resumed }) => row !== this.#current && row.state === 'live' && row.resumed === resumed,
    )
    this.#recorder.record(me.number, `now ${this.#current.number} ${states.join(' ')} ${valid.map(Number).join('')}`)
  }

  #row(number: number): Row {
    return this.#rows[number % this.#rows.length]!
  }

  #block(body: number): Block {
    const others = this.#program.bodies.slice(1)
    return others[body % others.length]!
  }

  #token(what: Thrown): Token {
    if (what === null) return new Token('ERR_GREENLET_EXIT')
    const known = this.#tokens.get(what) ?? new Token(what)
    this.#tokens.set(what, known)
    return known
  }
}

/** A GreenletExit that has ended a row continues as a value. */
function exitAsValue(payload: Payload): Payload {
  return payload.threw && payload.value.isExit ? { threw: false, value: payload.value } : payload
}
