from my_experiment import ex

r = ex.run(config_updates={"foo": 23})
print(r.result)
