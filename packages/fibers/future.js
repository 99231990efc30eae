'use strict'

module.exports = require('greenlets/fibers/future').Future
