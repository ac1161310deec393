#pragma once

/// Opens the descriptors 0, 1 and 2 if they are closed, before any other file is opened: otherwise the first file that
/// the program opens would become its standard output. Reading or writing such a stand-in fails.
void open_standard_streams();

/// False if printed output was lost: disk full, descriptor closed.
bool output_is_whole();

/// Throws hmrnn::Error if printed output was lost.
void require_whole_output();

/// Throws hmrnn::Error if the standard input could not be read to its end.
void require_whole_input();
