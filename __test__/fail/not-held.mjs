// Main releases a lock that it has not taken.

import { Lock } from '../../js/tools/index.ts'

new Lock().release()
