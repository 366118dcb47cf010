"""The operator's command line beside `start`: each command is loaded when it is asked for."""
