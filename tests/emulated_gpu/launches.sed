# kernel<…><<<blocks, threads, shared, stream>>>(argument); → KERNEL((kernel<…>), (argument));
s/([a-z_]+(<[A-Za-z0-9<>]*>)?)<<<[^;]*>>>\(([^)]*)\);/KERNEL((\1), \3);/
