// An item is put into a closed queue.

import { Queue } from '../../js/tools/index.ts'

const queue = new Queue()
queue.close()
queue.put(1)
