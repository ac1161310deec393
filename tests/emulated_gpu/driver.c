/* What LibTorch queries from the driver: whether the device is in use, and by which context. */
int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  *flags = 0;
  *active = device == 0;
  return 0;
}

int cuCtxGetCurrent(void** context) {
  static char one;
  *context = &one;
  return 0;
}
