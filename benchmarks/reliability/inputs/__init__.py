"""Bad inputs to every public function and to the command line: refused in words, before anything is compiled.

refused_pure, refused_host, commands   bad inputs, as data
accepted                               inputs that look odd and are taken
generated                              calls with arguments drawn at random
"""
