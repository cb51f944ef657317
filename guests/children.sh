# Run by a guest's busybox shell under `--execve self`; the driver compares every line it prints.
# The current folder holds nothing but the busybox itself. Programs are named by path, so that the
# shell really executes them instead of running an applet of its own.
b=./busybox

echo "a child runs in the emulator, with its settings: $($b uname -r)"
echo "a pipeline of children: $($b printf '%s\n' a b c | $b cat | $b wc -l)"
$b sh -c 'exit 42'
echo "an exit status: $?"
echo "argv[0] as given: $( (exec -a sh $b -c 'echo "$0"') )"
echo "the environment as given: $($b env | $b grep '^KEPT=')"
echo "an empty environment: $($b env -i ./busybox env | $b wc -l) variables, $($b env -i ./busybox uname -r)"

printf '#!%s/busybox sh\necho "one argument [$1] $(./busybox uname -r)"\n' "$PWD" > script
$b chmod 755 script
echo "a script by its first line: $(./script 'a b')"

$b sleep 0 &
wait $!
echo "a background job: $($b test $? = 0 && echo done)"
echo "a replaced shell: $( (exec $b uname -r) )"

./missing 2> /dev/null
echo "a missing program: $?"
echo > plain
./plain 2> /dev/null
echo "a file that is not executable: $?"
$b mkdir folder
./folder 2> /dev/null
echo "a folder: $?"
