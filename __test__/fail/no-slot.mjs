// More greenlets are suspended than there are stack slots, and spilling is off.

process.env.GREENLETS_SPILL = 'never'
process.env.GREENLETS_SLOTS = '4'
const { parkForever } = await import('../helpers/park-forever.mjs')
parkForever()
