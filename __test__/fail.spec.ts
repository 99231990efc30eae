// The message that a user reads when a mistake ends the program: the class, the code, the greenlet, and what to do. The
// programs are in fail/. Each must end with exit code 1 and print its message.

import { readdirSync } from 'node:fs'
import test from 'ava'
import type { GreenletErrorCode } from '../js/index.ts'
import { runFile } from './helpers/program.ts'

type Failure = readonly [program: string, className: string, message: RegExp]

const FAILURES: Record<GreenletErrorCode, readonly Failure[]> = {
  ERR_GREENLET_EXIT: [['exit', 'GreenletExit', /the greenlet was told to end/]],
  ERR_GREENLET_INVALID_ARG: [
    ['invalid-arg', 'TypeError', /a greenlet runs a function, not 'main\.js'/],
    ['invalid-range', 'RangeError', /sleep\(\) takes 0 to 2147483647 milliseconds, not Infinity/],
  ],
  ERR_GREENLET_NO_RUN: [
    ['no-run', 'TypeError', /'worker' has no run function: pass one to new Greenlet\(run\) or give its class/],
    ['no-run-parent', 'TypeError', /'parent' has no run function: pass one/],
  ],
  ERR_GREENLET_STARTED: [['started', 'GreenletError', /'worker' has started, and .*; make a new greenlet/]],
  ERR_GREENLET_PARENT_CYCLE: [
    ['parent-cycle', 'GreenletError', /'third' descends from 'first'; give 'third' another parent first/],
  ],
  ERR_GREENLET_MAIN: [
    ['main-killed', 'GreenletError', /main cannot be killed: .*; end the process or the Worker instead/],
    ['main-parent', 'GreenletError', /cannot set the parent of main: it has none/],
  ],
  ERR_GREENLET_WAITING: [
    ['waiting', 'GreenletError', /'sleeper' cannot be switched to: it is in wait\(\).*; use throw\(\) or kill\(\)/],
    [
      'waiting-parent',
      'GreenletError',
      /'sleeper' cannot be switched to: 'gone' is dead and passes the switch on to it, and it is in/,
    ],
  ],
  ERR_GREENLET_WAIT_ON_MAIN: [
    [
      'wait-on-main',
      'GreenletError',
      /main cannot wait\(\): .*after an await, .*app\.use\(greenlets\(\)\); .* inside a greenlet: .*spawn\(fn\).*blocking\(fn\).*bind\(fn\)/,
    ],
    ['sleep-on-main', 'GreenletError', /main cannot sleep\(\): .*; use await there, or call it inside a greenlet/],
  ],
  ERR_GREENLET_TIMEOUT: [
    [
      'timeout',
      'TimeoutError',
      /'reader' waited 5 ms in wait\(\) for an instance of Promise, .*; catch ERR_GREENLET_TIMEOUT/,
    ],
  ],
  ERR_GREENLET_WAIT_ON_SELF: [['wait-on-self', 'GreenletError', /'ouroboros' cannot wait for its own end/]],
  ERR_GREENLET_KILLED: [
    ['killed', 'GreenletError', /'worker' was ended by a GreenletExit.*; catch ERR_GREENLET_KILLED where/],
  ],
  ERR_GREENLET_KILL_REFUSED: [
    [
      'kill-refused',
      'GreenletError',
      /'stubborn' is still alive: it caught the GreenletExit and .*; a catch block must throw the GreenletExit again/,
    ],
  ],
  ERR_GREENLET_NO_SLOT: [['no-slot', 'GreenletError', /'leak' cannot start: all 4 stack slots.*; let some .* finish/]],
  ERR_GREENLET_LIMIT: [
    ['limit', 'GreenletError', /'leak' cannot start: a limit of configure\(\) is reached, .*; let some finish/],
  ],
  ERR_GREENLET_SLOTS_IN_USE: [
    ['slots-in-use', 'GreenletError', /configure\(\) was called while greenlets .* were live; call it before/],
  ],
  ERR_GREENLET_ENDED: [['ended', 'GreenletError', /'endless' was ended by V8, for example by a time limit/]],
  ERR_GREENLET_FORBIDDEN: [['forbidden', 'GreenletError', /'main' cannot be switched to from here.*; switch after/]],
  ERR_GREENLET_IN_USE: [
    ['in-use', 'GreenletError', /main cannot load '.*leaves\.cjs': greenlet 'loader' is loading it, .*; load it after/],
  ],
  ERR_GREENLET_SECOND_COPY: [
    ['second-copy', 'GreenletError', /two copies of greenlets .* was first, .* is second; make the dependencies agree/],
  ],
  ERR_GREENLET_STALE_FRAME: [
    ['stale-frame', 'StaleFrameError', /'walker' was resumed; .*; use detach\(\) to keep one/],
    ['stale-stack', 'StaleFrameError', /'walker' has ended; .*; use detach\(\) to keep one/],
  ],
  ERR_GREENLET_UNSUPPORTED_RUNTIME: [
    [
      'unsupported',
      'UnsupportedRuntimeError',
      /could not load its native addon on linux-.* names \/nowhere\/.* does not exist; correct or delete the variable/,
    ],
  ],
  ERR_GREENLET_CLOSED: [
    ['closed-server', 'GreenletError', /the server is closing: close\(\) was called; ask another server, or later/],
    ['closed', 'GreenletError', /Queue\.put\(\): the Queue is closed; .* test 'closed' before/],
    ['closed-group', 'GreenletError', /the group of greenlet 'owner' has ended, .*; spawn its children before/],
  ],
  ERR_GREENLET_DEADLOCK: [
    ['deadlock', 'GreenletError', /'writer' has this Lock and would wait for itself; use new Lock\(\{ reentrant: true/],
  ],
  ERR_GREENLET_NOT_HELD: [
    ['not-held', 'GreenletError', /'main' called release\(\) and does not have the Lock: it is free; call acquire\(\)/],
    ['not-held-permit', 'GreenletError', /all 1 permits of the Semaphore are free already; call release\(\) once for/],
  ],
  ERR_GREENLET_NOT_PARKED: [
    ['not-parked', 'GreenletError', /'worker' has ended and was not seen parked at \['acquire'\]; look at its result/],
  ],
  ERR_GREENLET_LEFT: [
    ['left', 'GreenletError', /1 greenlet was left suspended, and killed now; let the test wait .*, or kill/],
  ],
  ERR_GREENLET_NO_LOCALS: [
    [
      'no-locals',
      'GreenletError',
      /'worker' cannot be read: a debugger is attached to this thread, .* disconnect it first/,
    ],
  ],
  // These need a system without memory for a guard, or an environment that is gone. See spilling/configure.spec.ts and
  // crates/core.
  ERR_GREENLET_NO_MEMORY: [],
  ERR_GREENLET_GONE: [],
}

for (const [code, failures] of Object.entries(FAILURES)) {
  for (const [program, className, message] of failures) {
    test(`${code}: ${program}`, async (t) => {
      const ending = await runFile(`fail/${program}.mjs`)
      t.like(ending, { code: 1, signal: null, stdout: '' })
      t.regex(ending.stderr, new RegExp(`^\\[?${className}: .*${message.source}`, 'm'))
      t.regex(ending.stderr, new RegExp(`^ +code: '${code}'`, 'm'))
    })
  }
}

test('an error of the program is shown unchanged, also through dead parents', async (t) => {
  const { code, stdout, stderr } = await runFile('fail/user-error.mjs')
  t.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  t.regex(
    stderr,
    /user-error\.mjs:6\n {2}throw new RangeError\('of the program'\)\n[^]*\nRangeError: of the program\n +at careless/,
  )
})

test('every program is run', (t) => {
  const programs = Object.values(FAILURES).flatMap((failures) => failures.map(([program]) => `${program}.mjs`))
  t.deepEqual(readdirSync(new URL('fail', import.meta.url)).toSorted(), [...programs, 'user-error.mjs'].toSorted())
})
