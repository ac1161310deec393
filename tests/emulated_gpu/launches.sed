# kernel<…><<<blocks, threads, shared, stream>>>(argument); → KERNEL((kernel<…>), argument);
s/([a-z_]+(<[A-Za-z0-9<>]*>)?)<<<[^;]*>>>\(([^)]*)\);/KERNEL((\1), \3);/
# launch_cooperative(kernel, …, argument, stream); → KERNEL((kernel), argument);
s/return launch_cooperative\(([a-z_]+), [^;]*, ([a-z_]+), stream\);/KERNEL((\1), \2); return 0;/
# extern __shared__ … name[]; → memory of the emulated block
s/extern __shared__ .*unsigned char ([a-z_]+)\[\];/auto* \1 = static_cast<unsigned char*>(emulated_gpu::here().shared);/
