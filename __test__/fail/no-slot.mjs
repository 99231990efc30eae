// More greenlets are suspended than there are stack slots, and spilling is off.

process.env.GREENLETS_SPILL = 'never'
process.env.GREENLETS_SLOTS = '4'
const { Greenlet } = await import('../../js/index.ts')

function leak() {
  return Greenlet.main.switch()
}
const all = []
for (;;) {
  all.push(new Greenlet(leak))
  all.at(-1).switch()
}
