// An add-on with one function that does nothing: the minimal cost of a native call from JavaScript.

#include <node_api.h>

static napi_value empty(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value function;
  if (napi_create_function(env, "empty", NAPI_AUTO_LENGTH, empty, NULL, &function) != napi_ok) return exports;
  return function;
}
