/**
 * What greenlets coordinate themselves with. [Tools](../../../docs/tools.md) has an example of each.
 *
 * @module greenlets/tools
 */

export { TimeoutError } from '../../../js/common/errors.ts'
export {
  Condition,
  Event,
  exclusive,
  group,
  iterate,
  joinAll,
  Local,
  Lock,
  Pool,
  Queue,
  retry,
  Semaphore,
  timeout,
  waitAny,
} from '../../../js/tools/index.ts'
export type {
  Group,
  Limits,
  LockOptions,
  QueueOptions,
  Results,
  RetryOptions,
  SemaphoreOptions,
} from '../../../js/tools/index.ts'
