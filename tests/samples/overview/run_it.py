from my_experiment import ex

r = ex.run()
print(r.result)
