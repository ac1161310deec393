#pragma once

// Empty: c10d's header includes this file but uses nothing of it.
