#pragma once

/// Makes sure that the descriptors 0, 1 and 2 are open, before any file is: a program that was started without them
/// would else print into the first file that it opens. What stands in for a missing one fails to be read or written.
void open_standard_streams();

/// False once something that was printed is lost: a full disk, a closed descriptor.
bool output_is_whole();

/// Throws hmrnn::Error if something that was printed is lost.
void require_whole_output();

/// Throws hmrnn::Error if the standard input could not be read to its end.
void require_whole_input();
