/**
 * What all greenlets are doing, as data or printed. [Debugging](../../../docs/debugging.md) shows it.
 *
 * @module greenlets/dump
 */

export { Dump, dump, installDumpSignal, publishEvents, recordOrigins, writeDumpOnError } from '../../../js/dump.ts'
export type {
  DeadlockData,
  DumpData,
  DumpFormat,
  DumpOnErrorOptions,
  DumpOptions,
  DumpSignalOptions,
  FrameLine,
  GreenletData,
  StackData,
  ThreadData,
  WaitData,
} from '../../../js/dump.ts'
