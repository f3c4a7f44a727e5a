/* main: finds the command and runs it. */
#include <stdio.h>

#include "cli/command.h"

int main(int argc, char **argv)
{
	return hf_cli_run(argc, argv);
}
