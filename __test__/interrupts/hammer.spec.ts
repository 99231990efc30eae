import test from 'ava'
import { runFile } from '../helpers/program.ts'

/** Allowance for a busy machine, added to a few milliseconds. */
const LATE_MS = 3000

test('each interrupt is served soon while greenlets switch: from a thread, samples, time limits, signals, terminate()', async (t) => {
  const { code, signal, stdout, stderr } = await runFile('interrupts/hammer.ts')
  t.deepEqual([code, signal, stderr], [0, null, ''])
  const { native, profiled, timeouts, signals, workers } = JSON.parse(stdout)
  t.true(native.requested > 100, `${native.requested} requested`)
  t.is(native.lost, 0)
  t.true(profiled.samples > 10, `${profiled.samples} samples`)
  t.deepEqual(timeouts.codes, ['ERR_SCRIPT_EXECUTION_TIMEOUT'])
  t.deepEqual(signals.codes, ['ERR_SCRIPT_EXECUTION_INTERRUPTED'])
  t.true(timeouts.ended > 5 && signals.ended > 2, stdout)
  for (const { slowestMs } of [native, timeouts, signals, workers]) t.true(slowestMs < LATE_MS, stdout)
})
