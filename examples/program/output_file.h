#pragma once

#include <string>
#include <vector>

// Checks of the files that a command writes, made before its work: an error afterwards would lose the work.

/// Throws hmrnn::Error naming --`option` unless `path` ends in `ending` (".svg") and its folder exists, and if it is
/// something else than a file, or one of the files `inputs`, which would be lost. Inputs that are empty or do not exist
/// do not matter.
void require_output(const std::string& option, const std::string& path, const std::string& ending,
                    const std::vector<std::string>& inputs = {});

/// The same for a file that must not exist yet.
void require_new_output(const std::string& option, const std::string& path, const std::string& ending);
